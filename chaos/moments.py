"""Moments in a run: a call of a function, before or after which something happens."""

import errno
import itertools
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import psycopg
import time_machine


@dataclass(frozen=True)
class Point:
    """A moment in a run, before or after the given call of `module:name` or `module:Class.name`, and what happens."""

    function: str
    call: int
    after: bool
    act: str  # a key of _ACTS, or step-clock
    step: int = 0  # in seconds

    def __str__(self) -> str:
        """Return it in a few words."""
        name = self.function.rpartition(":")[2]
        return f"{self.act} {'after' if self.after else 'before'} call {self.call} of {name}"

    def install(self) -> None:
        """Act when the moment comes."""
        act = partial(_step_clock, self.step) if self.act == "step-clock" else _ACTS[self.act]
        calls = itertools.count(1)

        def watch(original: Callable[..., Any]) -> Callable[..., Any]:
            def watched(*arguments: Any, **named: Any) -> Any:
                mine = next(calls) == self.call
                if mine and not self.after:
                    act()
                result = original(*arguments, **named)
                if mine and self.after:
                    act()
                return result

            return watched

        wrap(self.function, watch)


def wrap(function: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace `module:name` or `module:Class.name` in this process by what the wrapper makes of it."""
    module, _, path = function.partition(":")
    *parents, name = path.split(".")
    owner: Any = import_module(module)
    for parent in parents:
        owner = getattr(owner, parent)
    setattr(owner, name, wrapper(getattr(owner, name)))


def _signal(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def _fail(code: int) -> Callable[[], None]:
    def act() -> None:
        raise OSError(code, os.strerror(code))

    return act


def _fill_disk_of_postgres() -> None:
    raise psycopg.errors.DiskFull("could not extend file: No space left on device")


def _step_clock(seconds: int) -> None:
    time_machine.travel(time.time() + seconds, tick=True).start()


_ACTS: dict[str, Callable[[], None]] = {
    "kill": _signal(signal.SIGKILL),
    "pause": _signal(signal.SIGSTOP),
    "interrupt": _signal(signal.SIGINT),
    "terminate": _signal(signal.SIGTERM),
    "disk-full": _fail(errno.ENOSPC),
    "read-only": _fail(errno.EROFS),
    "disk-full-in-postgres": _fill_disk_of_postgres,
}
