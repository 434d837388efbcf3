"""v6 config show."""

from __future__ import annotations

import click

from v6cli import options, secrets, settings
from v6cli.app import App
from v6cli.completion import setting_keys
from v6cli.results import Column, Table

COLUMNS = (Column("key"), Column("value", wraps=True), Column("source", wraps=True))


@options.command()
@click.argument("keys", metavar="[KEY]...", nargs=-1, shell_complete=setting_keys)
def command(app: App, keys: tuple[str, ...]) -> None:
    """Every setting of this home, or those named, and where its value came from.

    When to use: a value surprises you, or before you change one. A KEY is a setting, or a section with all of its own. Later
    layers win: default, profile, the home's config/v6.toml, V6_* variables. Secrets are masked.

    \b
    Exit codes: 0; 64 no such key; 78 where the settings cannot be used.

    \b
    Examples:
      v6 config show
      v6 config show limits gateway.port
    """
    loaded = settings.load_with_sources(app.home)
    sections = {key.rpartition(".")[0] for key in loaded.values if "." in key}
    for key in keys:
        if key not in loaded.values and key not in sections:
            raise settings.no_such_key(key, [*loaded.values, *sections])
    rows = [
        (key, secrets.MASK if secrets.is_secret(key) and value else _text(value), loaded.sources[key])
        for key, value in loaded.values.items()
        if not keys or any(key == one or key.startswith(f"{one}.") for one in keys)
    ]
    app.output.show(Table("v6.config/1", f"settings of {app.home}", COLUMNS, list(rows)))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
