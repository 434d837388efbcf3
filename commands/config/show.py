"""v6 config show."""

from __future__ import annotations

from v6cli import options, secrets, settings
from v6cli.app import App
from v6cli.results import Column, Table

COLUMNS = (Column("key"), Column("value", wraps=True), Column("source", wraps=True))


@options.command()
def command(app: App) -> None:
    """Every setting of this home and where its value came from.

    When to use: a value surprises you, or before you change one. Later layers win: default, profile, the home's
    config/v6.toml, V6_* variables. Secrets are masked.

    \b
    Exit codes: 0; 78 where the settings cannot be used.

    \b
    Examples:
      v6 config show
      v6 config show -o json
    """
    loaded = settings.load_with_sources(app.home)
    rows = [
        (key, secrets.MASK if secrets.is_secret(key) and value else _text(value), loaded.sources[key])
        for key, value in loaded.values.items()
    ]
    app.output.show(Table("v6.config/1", f"settings of {app.home}", COLUMNS, list(rows)))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
