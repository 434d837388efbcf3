"""A home is found by its marker, in the order that is promised, and never by falling through."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from v6cli import home as homes
from v6cli import latch, settings
from v6cli.errors import BadConfiguration
from v6cli.home import LONGEST_PATH, checked_place, find_home, is_home
from v6cli.install import new_home
from v6cli.latch import TradingState


def make(folder: Path, text: str = 'profile = "demo"\n') -> Path:
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "v6.toml").write_text(text)
    return folder


@pytest.fixture(autouse=True)
def _no_installed_home(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(homes, "INSTALLED", folder / "opt")
    monkeypatch.chdir(folder)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ('profile = "demo"', True),
        ('  profile="paper"', True),
        ("profile = 3", True),
        ("# profile = 1", False),
        ("[x]\nprofile = 1", False),
        ("profiles = 1", False),
        ("", False),
        ("\xff", False),
    ],
)
def test_the_marker(folder: Path, text: str, is_one: bool) -> None:
    assert is_home(make(folder / "h", text)) == is_one


@pytest.mark.parametrize("left", ["", "\ufeffprofile = 'demo'", "limits.delta = 3\n", None])
def test_a_home_whose_settings_are_damaged_or_gone_is_still_the_one_meant(
    folder: Path, monkeypatch: pytest.MonkeyPatch, left: str | None
) -> None:
    """Another home around it, or the installed one, is never taken in its place."""
    make(folder / "opt")
    outer = make(folder / "outer")
    inner = new_home.make(outer / "inner", "paper", account="DU1111111")
    inner.settings_file.unlink()
    if left is not None:
        inner.settings_file.write_text(left)
    monkeypatch.chdir(inner.logs)
    assert find_home().root == find_home(inner.root).root == inner.root
    with pytest.raises(BadConfiguration, match=str(inner.settings_file)):
        settings.load(inner)


def test_settings_that_are_gone_are_made_anew_and_no_halt_is_lost(folder: Path) -> None:
    home = new_home.make(folder / "h", "paper", account="DU1111111")
    latch.tighten(home, TradingState.HALTED, "enough", "ann")
    home.settings_file.unlink()
    assert new_home.make(home.root, "paper", account="DU1111111").settings_file.exists()
    assert latch.read(home).state is TradingState.HALTED


def test_a_checkout_is_no_home(root: Path) -> None:
    assert not is_home(root)


def test_the_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flag, variable, near, installed = (make(folder / name) for name in ("flag", "variable", "near", "opt"))
    assert find_home().root == installed
    below = near / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert find_home().root == near
    inner = make(near / "a" / "inner")
    monkeypatch.chdir(inner / "config")
    assert find_home().root == inner
    monkeypatch.setenv("V6_HOME", str(variable))
    assert find_home().root == variable
    assert find_home(flag).root == flag


@pytest.mark.parametrize("kind", ["absent", "empty", "a file"])
def test_a_named_place_that_is_no_home_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    make(folder / "opt")
    named = folder / "named"
    if kind == "empty":
        named.mkdir()
    elif kind == "a file":
        named.write_text("")
    with pytest.raises(BadConfiguration, match=r"--home\) is not a home") as refusal:
        find_home(named)
    assert str(named) in refusal.value.message and refusal.value.exit_code == 78
    monkeypatch.setenv("V6_HOME", str(named))
    with pytest.raises(BadConfiguration, match=r"\$V6_HOME\) is not a home"):
        find_home()


def test_an_empty_name_is_an_error_and_no_other_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``v6 --home "$HOME_OF_MINE"`` with the variable unset must not act on the home that happens to be around."""
    make(folder)
    monkeypatch.chdir(folder)
    assert find_home().root == folder
    with pytest.raises(BadConfiguration, match="--home is empty"):
        find_home("")
    monkeypatch.setenv("V6_HOME", "")
    with pytest.raises(BadConfiguration, match=r"\$V6_HOME is empty"):
        find_home()


def test_none_found_names_where_it_looked(folder: Path) -> None:
    with pytest.raises(BadConfiguration) as refusal:
        find_home()
    assert all(word in refusal.value.message for word in ("--home", "$V6_HOME", str(folder), "opt"))


def test_a_working_folder_that_is_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(BadConfiguration, match="gone"):
        find_home()


@pytest.mark.parametrize("letter", ["x", "é"])
def test_seventy_bytes(letter: str) -> None:
    width = len(letter.encode())
    fits = Path("/" + "y" * ((LONGEST_PATH - 1) % width) + letter * ((LONGEST_PATH - 1) // width))
    assert len(os.fsencode(fits)) == 70 and checked_place(fits) == fits
    with pytest.raises(BadConfiguration, match="70 bytes"):
        checked_place(fits.with_name(fits.name + "y"))
