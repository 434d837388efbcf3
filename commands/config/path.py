"""v6 config path."""

from __future__ import annotations

from v6cli import options, settings
from v6cli.app import App


@options.command()
def command(app: App) -> None:
    """Which files the settings of this home are read from, the winning one last.

    When to use: to find the file to edit.

    \b
    Exit codes: 0; 78 where there is no home.

    \b
    Examples:
      v6 config path
      v6 --home /opt/v6-trading config path
    """
    for path in settings.files(app.home):
        app.output.text(str(path))
