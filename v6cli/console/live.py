"""Events of long work as a live view on stderr: a spinner for steps under way, a bar for counted work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from v6cli.console.tables import STATUS_STYLES
from v6cli.events import Event, Note, Progress, Report, StepBegan, StepEnded

MARKS = {"ok": "✓", "degraded": "!", "unhealthy": "✗", "unknown": "?"}


@contextlib.contextmanager
def view(title: str, *, color: bool) -> Iterator[Report]:
    """Show events until the block ends; the view disappears then, what it found is shown as a result."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True, no_color=not color, highlight=False)
    bars = Bars(SpinnerColumn(finished_text=" "), TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn(), console=console, transient=True)
    tasks: dict[str, int] = {}

    def report(event: Event) -> None:
        if isinstance(event, Note):
            bars.console.print(escape(event.text))
        elif isinstance(event, StepBegan):
            tasks[event.step] = bars.add_task(escape(event.title), total=1)
        elif isinstance(event, StepEnded):
            style = STATUS_STYLES.get(event.status, "default")
            bars.update(tasks[event.step], completed=1, description=f"[{style}]{MARKS.get(event.status, '')}[/] {escape(event.text)}")  # type: ignore[arg-type]
        elif isinstance(event, Progress):
            if event.what not in tasks:
                tasks[event.what] = bars.add_task(escape(event.what), total=event.total)
            bars.update(tasks[event.what], completed=event.done, total=event.total)  # type: ignore[arg-type]

    with bars:
        bars.console.print(escape(title), style="bold")
        yield report
