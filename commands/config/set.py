"""v6 config set."""

from __future__ import annotations

import click

from v6cli import options, settings
from v6cli.app import App
from v6cli.completion import setting_keys, setting_values
from v6cli.files import write_durably

PINS = {"account", "profile"}  # whose orders a home sends, and with whose money


@options.command()
@click.argument("key", shell_complete=setting_keys)
@click.argument("value", shell_complete=setting_values)
@options.changes(asks=True, mends_settings=True)
def command(app: App, key: str, value: str, yes: bool, dry_run: bool) -> None:
    """Change one setting in this home's config/v6.toml.

    When to use: to change a limit, a port, an interval. Comments are kept, the result is validated before it is written,
    the difference is shown, and running services take it up at their next cycle. It asks before a home that has an account
    is pinned to another one, or gets another profile. A file that is refused is mended by it,
    one setting at a time; where several are wrong, edit the file.

    \b
    Exit codes: 0; 64 no such key; 74 the file cannot be written; 77 not
    confirmed; 78 the value cannot be used (nothing is changed).

    \b
    Examples:
      v6 config set limits.delta 150
      v6 config set sync.interval 20 --dry-run
    """
    edit = settings.edited(app.home, key, value)
    for line in edit.difference:
        app.output.text(line)
    if not edit.difference:
        app.output.note(f"{key} is {value} already: nothing to change")
    elif dry_run:
        app.output.note("dry run: nothing was written")
    else:
        if key in PINS and (pinned := settings.pinned(app.home, key)):
            app.output.confirm(f"the {key} of this home is {pinned}: change it to {value}?", yes=yes)
        write_durably(app.home.settings_file, edit.text.encode())
        settings.remember(app.home, edit.settings)
        app.output.note(f"written to {app.home.settings_file}")
