"""Write what is generated: completion scripts and the market calendar. `make docs`."""

from __future__ import annotations

from pathlib import Path

from v6cli.completion import SHELLS
from v6cli.main import completion_script

COMPLETIONS = Path(__file__).parent.parent / "completions"


def main() -> None:
    for shell in SHELLS:
        (COMPLETIONS / f"v6.{shell}").write_text(completion_script(shell))


if __name__ == "__main__":
    main()
