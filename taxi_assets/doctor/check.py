"""Running checks: side by side, each within its time, each ending in results and never in an exception."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from taxi_assets.errors import DOCTOR, TaxiError

SECONDS = 20.0
Status = Literal["ok", "warning", "failed", "unchecked"]


@dataclass(frozen=True)
class Result:
    """One line: what was found, and what to do if it is not well."""

    status: Status
    text: str


@dataclass(frozen=True)
class Check:
    """One thing to look at; `find` returns at least one result."""

    name: str
    find: Callable[[], list[Result]]


@dataclass(frozen=True)
class Line:
    """One result with the name of its check."""

    check: str
    status: Status
    text: str


def ok(text: str) -> list[Result]:
    """Return the result of a check that found nothing wrong."""
    return [Result("ok", text)]


def run_checks(checks: Sequence[Check], seconds: float = SECONDS) -> list[Line]:
    """Run all checks at the same time and return their results in the order of the checks."""
    found: dict[str, list[Result]] = {}

    def run(check: Check) -> None:
        found[check.name] = _guarded(check)

    # Daemons: a check that hangs must not keep the command from ending.
    threads = [threading.Thread(target=run, args=(check,), daemon=True) for check in checks]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    unfinished = [
        Result("unchecked", f"No answer within {seconds:g} s; see whether a network or a proxy is in the way.")
    ]
    return [
        Line(check.name, result.status, result.text) for check in checks for result in found.get(check.name, unfinished)
    ]


def exit_code(lines: Sequence[Line]) -> int:
    """Return 1 if something will fail, 2 if something could not be checked, otherwise 0."""
    if any(line.status == "failed" for line in lines):
        return 1
    return 2 if any(line.status == "unchecked" for line in lines) else 0


def _guarded(check: Check) -> list[Result]:
    try:
        return check.find()
    except TaxiError as error:
        return [Result("failed", str(error).removesuffix(f" {DOCTOR}"))]
    except Exception as error:
        # Whatever a machine answers: the other checks go on, and this one is named.
        first = (str(error).strip().splitlines() or ["no reason given"])[0]
        return [Result("unchecked", f"Could not be checked ({type(error).__name__}: {first}).")]
