"""A new home: its folders, its commented settings file, and its open latch."""

from __future__ import annotations

import shlex
from pathlib import Path

from v6cli import latch, settings
from v6cli.errors import BadConfiguration, CannotWrite, Refused
from v6cli.files import private_folder, way_out, write_durably
from v6cli.home import MARKER, Home, checked_place

_TEXT = """\
# A home of v6: what this file sets wins over the packaged profile and defaults. `v6 config show` lists every setting.
# Profile and account are read from here alone; no variable and no flag can point this home at another account.

profile = "{profile}"        # demo, paper or live
{account}

[gateway]
{port}
# host = "127.0.0.1"
# resets = ["Sat 23:00 - Sun 03:00", "00:15 - 01:45"] # when IB resets its servers: a lost link is expected then
# reset_time_zone = "America/New_York" # the zone of these times; IB's regions reset at other hours

[sync]
# interval = 30.0            # seconds between two syncs of the service

[limits]
# delta = 200.0              # largest portfolio delta either way, in share equivalents
# gamma = 500.0              # largest portfolio gamma either way, per 1.00 of the underlying
# concentration = 0.30       # largest share of one symbol

[support]
# developer = ""             # who maintains this system, and how to reach them
# broker = ""                # the support line of your IB account
"""


def named(folder: str) -> Path:
    """The place a new home is wanted at; nothing is not the working folder. Raises BadConfiguration."""
    if not folder:
        raise BadConfiguration("DIR is empty: it must name a folder", next_step="an unset variable of a script? name the folder")
    return Path(folder)


def make(folder: Path, profile: str, account: str = "", port: int | None = None, extra: str = "") -> Home:
    """Make a home in ``folder``, which must not be one already, and return it.

    The settings are validated before anything is written; the settings file is written last, and a folder that has one is a
    home already. Raises Refused, BadConfiguration, CannotWrite.
    """
    place = checked_place(folder)
    if (place / MARKER).exists():  # without it this goes on, be it that an earlier one was cut off; a latch that is there stays as it is
        raise Refused(f"{place} is a home already: nothing was changed", next_step=f"v6 --home {shlex.quote(str(place))} config show")
    if place.exists() and not place.is_dir():
        raise BadConfiguration(f"{place} is a file: a home is a folder", next_step="choose another folder")
    home = Home(place)
    text = _text(profile, account, port) + extra
    try:
        loaded = settings.check_text(text, home.settings_file).settings
    except BadConfiguration as error:  # there is no home yet whose settings could be set
        raise BadConfiguration(error.message, next_step="give another --account, --profile or --port; nothing was written") from None
    try:
        for path in (home.root, home.config, home.logs, home.backups, home.lake, home.state_folder, home.run, home.runs):
            private_folder(path)
        latch.make_open(home)
        settings.remember(home, loaded)
        write_durably(home.settings_file, text.encode())
    except CannotWrite as error:  # there is no home yet by which the way out could be found
        raise CannotWrite(error.message, next_step=error.next_step or way_out(place)) from error
    return home


def _text(profile: str, account: str, port: int | None) -> str:
    own_account = f'account = "{account}"' if account else _no_account(profile)
    own_port = (
        f"port = {port}"
        if port is not None
        else "# port = 4002              # IB Gateway: 4001 live, 4002 paper; TWS: 7496 live, 7497 paper"
    )
    return _TEXT.format(profile=profile, account=own_account, port=own_port)


def _no_account(profile: str) -> str:
    if profile == "demo":
        return '# account = "DU1234567"    # the simulated gateway\'s'
    return '# account = ""             # until an id is set v6 looks at the one account the gateway manages, and sends nothing'
