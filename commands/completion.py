"""v6 completion."""

from __future__ import annotations

import click

from v6cli import completion, options
from v6cli.app import App
from v6cli.files import write_durably


@options.command()
@click.argument("shell", type=click.Choice(completion.SHELLS))
@click.option("--install", is_flag=True, help="Write it where the shell looks for it.")
def command(app: App, shell: str, install: bool) -> None:
    """Shell completion of commands, options, services, symbols and settings.

    When to use: once after installing v6. Without --install the script is printed.

    \b
    Exit codes: 0; 74 the file cannot be written.

    \b
    Examples:
      v6 completion bash --install
      v6 completion zsh --install
      v6 completion fish
    """
    script = completion.packaged(shell).read_text("utf-8")
    if not install:
        app.output.text(script.rstrip("\n"))
        return
    path = completion.place(shell)
    write_durably(path, script.encode())
    app.output.text(str(path))
    app.output.note("open a new shell to use it" + (f"; zsh needs {path.parent} in its fpath before compinit" if shell == "zsh" else ""))
