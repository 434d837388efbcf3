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


LETTERS = "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw_"  # of a Telegram token
BOT = f"123456789:{LETTERS}"
SLACK = ("T01ABCDEFGH", "B01ABCDEFGH", "XyZaBcDeFgHiJkLmNoPqRsTu")
DISCORD = ("987654321098765432", "aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789-_aBcDeFgHiJkLmNoPqRsTuVwXyZ0123")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"sent by {BOT}", LETTERS),
        (f"POST https://api.telegram.org/bot{BOT}/sendMessage 401", LETTERS),
        (f"POST /bot{BOT.replace(':', '%3A')}/sendMessage", LETTERS),
        (f"tgram://{BOT}/-100123/ failed", LETTERS),
        (f"https://hooks.slack.com/services/{'/'.join(SLACK)} said 404", SLACK[2]),
        (f'"POST /services/{"/".join(SLACK)} HTTP/1.1" 404', SLACK[2]),
        (f"slack://{'/'.join(SLACK)}/#ops", SLACK[2]),
        (f"hook {'/'.join(SLACK)}", SLACK[2]),
        ("xoxb-123456789012-abcdefGHIJKL", "abcdefGHIJKL"),
        (f"https://discord.com/api/webhooks/{'/'.join(DISCORD)}", DISCORD[1]),
        (f"https://canary.discordapp.com/api/v10/webhooks/{'/'.join(DISCORD)}?wait=true", DISCORD[1]),
        (f'"POST /api/webhooks/{"/".join(DISCORD)} HTTP/1.1" 204', DISCORD[1]),
        (f"discord://{'/'.join(DISCORD)}", DISCORD[1]),
        (f"posting to {'/'.join(DISCORD)}", DISCORD[1]),
        ("MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs_abcd", "ZnCjm1XVW7vRze4b7Cq4se7kKWs"),
        ("https://corp.webhook.office.com/webhookb2/1b2-c3@4d5/IncomingWebhook/6e7/8f9", "8f9"),
        ("https://mm.example.org/hooks/abcdefghij0123456789abcdef", "abcdefghij0123456789"),
        ("https://chat.googleapis.com/v1/spaces/X/messages?key=AIzaSyA-1234567890", "AIzaSyA"),
        ("https://hc-ping.com/0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0", "0b1c2d3e"),
        ("ghp_0123456789abcdefghijklmnopqrstuvwxyz", "0123456789abc"),
    ],
)
@pytest.mark.parametrize("form", ["{}", "around {}, and after"])
def test_what_has_the_shape_of_a_secret_is_masked_though_nothing_names_it(text: str, secret: str, form: str) -> None:
    for said in (form.format(text), json.dumps({"message": form.format(text), "rest": 1})):
        masked = redact(said)
        assert secret not in masked and MASK in masked and redact(masked) == masked
        if said.startswith("{"):
            assert json.loads(masked)["rest"] == 1
    assert form != "around {}, and after" or redact(form.format(text)).endswith("after")


@pytest.mark.parametrize(
    "text",
    [
        "trading state HALTED",
        "21 positions synced",
        '{"key": "limits.delta", "value": "200"}',
        "orderRef v6-honaymy4f1-5.1 of permId 1234567890 at 127.0.0.1:4002",
        "2026-11-24T09:30:00.123456+00:00 run 20261130T152822.123456-26648",
        "https://docs.python.org/3/library/signal.html#module-signal and http://127.0.0.1:8501/api/positions",
        "deltalake-1.6.6-cp310-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "part-00000-0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0-c000.zstd.parquet",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "v6cli/runbook/services/tables.py, v6cli.services.supervisord.Supervisord.start",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_a_secret_that_is_a_word_of_its_own_is_masked_behind_what_names_it() -> None:
    assert redact_words(["x", "--token", PLANTED, "-v"]) == ["x", "--token", MASK, "-v"]
    assert redact_words(["config", "set", "alerts.password", PLANTED]) == ["config", "set", "alerts.password", MASK]
    assert redact_words(["x", "--token", "--yes"]) == ["x", "--token", "--yes"]
