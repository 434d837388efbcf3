"""What looks like a secret is masked wherever it stands, and what holds it stays readable."""

from __future__ import annotations

import json

import pytest

from v6cli.secrets import MASK, redact, redact_words

PLANTED = "hunter2-hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"password={PLANTED}",
        f"IB_PASSWORD: {PLANTED}",
        f"login --token {PLANTED} failed",
        f'api_key = "{PLANTED} with spaces"',
        f"passphrase='{PLANTED}'",
        json.dumps({"api_key": PLANTED, "rest": 1}),
        json.dumps({"message": f"sent {json.dumps({'token': PLANTED})}"}),
        json.dumps({"message": f"wrong password {PLANTED}"}),
        f"postgres://ann:{PLANTED}@db/v6",
        f"Authorization: Basic {PLANTED}",
        f"authorization=bearer {PLANTED}",
    ],
)
def test_a_secret_is_masked_once_and_json_stays_json(text: str) -> None:
    masked = redact(text)
    assert PLANTED not in masked and MASK in masked
    assert redact(masked) == masked
    if text.startswith("{"):
        assert json.loads(masked).keys() == json.loads(text).keys()


def test_what_is_no_secret_stays() -> None:
    for text in ("trading state HALTED", "21 positions synced", '{"key": "limits.delta", "value": "200"}'):
        assert redact(text) == text


def test_a_secret_that_is_a_word_of_its_own_is_masked_behind_what_names_it() -> None:
    assert redact_words(["x", "--token", PLANTED, "-v"]) == ["x", "--token", MASK, "-v"]
    assert redact_words(["config", "set", "alerts.password", PLANTED]) == ["config", "set", "alerts.password", MASK]
    assert redact_words(["x", "--token", "--yes"]) == ["x", "--token", "--yes"]
