"""Waiting for what other processes do: it is asked for again and again, and a limit ends only what hangs."""

import time
from collections.abc import Callable

# No test is to fail because the machine is busy with others; what takes this long does not come any more.
HANG_SECONDS = 900.0


def wait_for(
    condition: Callable[[], bool], what: str, *, pause: float = 0.05, report: Callable[[], str] = lambda: ""
) -> None:
    """Return when the condition holds; else, after a quarter of an hour, say `what` did not happen and the `report`."""
    deadline = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {HANG_SECONDS:.0f} s\n{report()}"
        time.sleep(pause)
