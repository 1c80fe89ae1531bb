"""The progress of months on their way: a bar each in a terminal, a line a step elsewhere."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from taxi_assets.cli.month_runs import STEPS, StepReport

Report = Callable[[StepReport], None]
# About what share of a month's time each step takes, in the order of STEPS.
_WEIGHTS = dict(zip(STEPS, (10, 40, 5, 15, 30), strict=True))
_ROWS_READ = re.compile(r"([\d,]+) rows read")


@contextmanager
def progress(usual_rows: int | None, log: Callable[[str], None]) -> Iterator[Callable[[str], Report]]:
    """Provide a function that returns the report of a month's steps, given the month's title.

    Args:
        usual_rows: About how many rows a month has, for the time that remains; None if unknown.
        log: Prints a line where there is no terminal.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda title: _lines(title, log)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        yield lambda title: _Bar(bars, title, usual_rows).report


def _lines(title: str, log: Callable[[str], None]) -> Report:
    def report(of: StepReport) -> None:
        step = f"{title}  {of.step:<15}"
        if of.kind == "success":
            log(f"{step} ✓ {of.seconds:.1f} s")
        elif of.kind == "failure":
            log(f"{step} ✗ {of.text}")
        elif of.kind == "retry":
            log(f"{step} … tried again soon")

    return report


class _Bar:
    """The bar of one month."""

    def __init__(self, bars: Progress, title: str, usual_rows: int | None) -> None:
        self._bars, self._usual_rows = bars, usual_rows
        self._began = time.monotonic()
        self._done = 0.0
        self._task: TaskID = bars.add_task(title, total=sum(_WEIGHTS.values()), state=STEPS[0])

    def report(self, of: StepReport) -> None:
        """Show what a step reports."""
        if of.kind == "success":
            self._done += _WEIGHTS[of.step]
            following = STEPS[STEPS.index(of.step) + 1 :]
            self._began = time.monotonic()
            self._show(self._done, following[0] if following else "done")
        elif of.kind == "failure":
            self._show(self._done, f"{of.step} failed")
        elif of.kind == "retry":
            self._show(self._done, f"{of.step}, tried again soon")
        elif found := _ROWS_READ.search(of.text):
            self._rows(int(found[1].replace(",", "")))

    def _rows(self, rows: int) -> None:
        rate = rows / max(time.monotonic() - self._began, 0.001)
        share = min(rows / self._usual_rows, 0.95) if self._usual_rows else 0.0
        done = self._done + share * _WEIGHTS["clean_parquet"]
        self._show(done, f"clean_parquet, {rows:,} rows, {rate:,.0f} rows/s")

    def _show(self, done: float, state: str) -> None:
        self._bars.update(self._task, completed=done, state=state)
