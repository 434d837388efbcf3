"""v6 config validate."""

from __future__ import annotations

from v6cli import options, settings
from v6cli.app import App


@options.command()
def command(app: App) -> None:
    """Check the settings of this home as a service would read them.

    When to use: after editing config/v6.toml by hand. Services keep the last settings that validated until they can use
    the new ones, so nothing is lost while the file is wrong.

    \b
    Exit codes: 0 they can be used; 78 they cannot (file, key, value and what is
    allowed are named).

    \b
    Examples:
      v6 config validate
      v6 --home /opt/v6-trading config validate
    """
    loaded = settings.load(app.home)
    app.output.text(f"the settings of {app.home} are valid: profile {loaded.profile}, account {loaded.account or 'not pinned'}")
