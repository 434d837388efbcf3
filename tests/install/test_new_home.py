"""A new home, or a word on why there is none."""

from __future__ import annotations

from pathlib import Path

import pytest


def test_an_empty_name_is_not_the_working_folder(v6, folder: Path) -> None:
    v6("init", "", cwd=folder, check=78)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("wrong", [("--account", "../x"), ("--profile", "live", "--account", "DU1234567"), ("--port", 0)])
def test_what_cannot_be_used_is_mended_where_it_was_given(v6, folder: Path, wrong: tuple[object, ...]) -> None:
    done = v6("init", folder / "h", *wrong, cwd=folder, check=78)
    assert "next: give another --account" in done.stderr
    assert not list(folder.iterdir())


def test_where_it_cannot_be_made_says_what_to_look_at(v6, folder: Path) -> None:
    (folder / "file").write_text("")
    told = v6("init", folder / "file" / "home", check=74)
    assert f"next: ls -ld {folder / 'file'}" in told.stderr
