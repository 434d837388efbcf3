"""v6 init."""

from __future__ import annotations

import shlex

import click

from v6cli import options
from v6cli.app import App
from v6cli.install import new_home
from v6cli.settings import PROFILES


@options.command()
@click.argument("folder", metavar="DIR", type=click.Path())
@click.option("--profile", type=click.Choice(PROFILES), default="paper", show_default=True, help="demo, paper or live.")
@click.option("--account", metavar="ID", default="", help="The account id to pin. Without one v6 looks and sends nothing.")
@click.option("--port", metavar="N", type=int, help="Port of the IB gateway.")
def command(app: App, folder: str, profile: str, account: str, port: int | None) -> None:
    """Make a new home: folders, a commented config/v6.toml, and an open latch.

    When to use: once per account. It asks nothing and never overwrites: a folder that is a home already is refused.

    \b
    If it fails: the message names what cannot be used; nothing was
    written where the settings are refused.

    \b
    Exit codes: 0; 74 the folder cannot be written; 77 it is a home already;
    78 account and profile do not fit.

    \b
    Examples:
      v6 init ~/v6-paper
      v6 init ~/v6-live --profile live --account U1234567 --port 4001
    """
    home = new_home.make(new_home.named(folder), profile, account, port)
    app.output.text(str(home.root))
    app.output.note(
        f"a {profile} home, account {account or 'not pinned: it looks at the one account the gateway manages and sends nothing'}"
    )
    app.output.note(f"next: cd {shlex.quote(str(home.root))} && v6 health")
