"""Events of long work as a live view on stderr.

A spinner for steps under way, a bar for counted work, its rate where it is bytes, and a line for each thing that goes on beside others:
as many as fit, below the bar, so that this stays in sight.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from v6cli.console.tables import STATUS_STYLES
from v6cli.events import Doing, Event, Note, Progress, Report, StepBegan, StepEnded

MARKS = {"ok": "✓", "degraded": "!", "unhealthy": "✗", "unknown": "?"}


@contextlib.contextmanager
def view(title: str, *, color: bool) -> Iterator[Report]:
    """Show events until the block ends; the view disappears then, what it found is shown as a result."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        SpinnerColumn,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars
    from rich.table import Column

    console = Console(stderr=True, no_color=not color, highlight=False)
    steps = Bars(SpinnerColumn(finished_text=" "), TextColumn("{task.description}"), console=console)
    bar = TextColumn("  {task.description}"), BarColumn(20)
    counts = Bars(*bar, MofNCompleteColumn(), TimeRemainingColumn(), console=console)
    amounts = Bars(*bar, DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(), console=console)
    doing = Bars(TextColumn("  {task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")), console=console)
    tasks: dict[str, TaskID] = {}
    beside: dict[str, TaskID] = {}

    def report(event: Event) -> None:
        if isinstance(event, Note):
            console.print(escape(event.text))
        elif isinstance(event, StepBegan):
            tasks[event.step] = steps.add_task(escape(event.title), total=1)
        elif isinstance(event, StepEnded):
            style = STATUS_STYLES.get(event.status, "default")
            steps.update(tasks[event.step], completed=1, description=f"[{style}]{MARKS.get(event.status, '')}[/] {escape(event.text)}")
        elif isinstance(event, Doing):
            if event.what not in beside:
                beside[event.what] = doing.add_task("", total=1)
            doing.update(beside[event.what], description=escape(event.text), visible=bool(event.text))
        elif isinstance(event, Progress):
            bars = amounts if event.unit == "bytes" else counts
            if event.what not in tasks:
                tasks[event.what] = bars.add_task(escape(event.what), total=event.total)
            bars.update(tasks[event.what], completed=event.done, total=event.total)

    with Live(Group(steps, counts, amounts, doing), console=console, transient=True, refresh_per_second=10):
        console.print(escape(title), style="bold")
        yield report
