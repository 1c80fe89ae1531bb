"""Moments in a run at which a test acts."""

import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from taxi_assets_tests.support.waiting import HANG_SECONDS

# Names a file of a function's name: a run that imports the quick definitions hangs before its first call.
HANG_FILE = "TEST_HANG_FILE"


@dataclass(frozen=True)
class Point:
    """A moment in a run: before or after the given call of a function, `module:name` or `module:Class.name`."""

    function: str
    call: int = 1
    after: bool = False

    def reached(self, act: Callable[[], None]) -> None:
        """From now on, act when the moment comes."""
        module, _, path = self.function.partition(":")
        *parents, name = path.split(".")
        owner: Any = import_module(module)
        for parent in parents:
            owner = getattr(owner, parent)
        original, calls = getattr(owner, name), itertools.count(1)

        def watched(*arguments: Any, **named: Any) -> Any:
            mine = next(calls) == self.call
            if mine and not self.after:
                act()
            result = original(*arguments, **named)
            if mine and self.after:
                act()
            return result

        setattr(owner, name, watched)


def hang_where_told() -> None:
    """Hang where the file of the variable says; append a line to it then."""
    file = Path(os.environ.get(HANG_FILE, "/dev/null"))
    function = file.read_text() if file.exists() else ""

    def hang() -> None:
        file.write_text(f"{function}\nreached")
        time.sleep(HANG_SECONDS)

    if function:
        Point(function).reached(hang)
