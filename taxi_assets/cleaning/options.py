"""What a user decides about files that TLC did not write: their zoned times and their unknown columns."""

from dataclasses import dataclass
from typing import Literal

ZonedTimes = Literal["convert", "as_wall_clock"]
UnknownColumns = Literal["freeze", "discard"]


@dataclass(frozen=True)
class ReadingOptions:
    """How to read a file.

    `zoned_times` applies to times marked UTC: `convert` takes them as instants and converts them to New York's clock,
    `as_wall_clock` takes them as that clock's times, which some programs mark UTC. None leaves it open: such a file is
    not loaded. `unknown_columns` is whether columns that the contract does not know stop the month (`freeze`) or are
    left out (`discard`).
    """

    zoned_times: ZonedTimes | None = None
    unknown_columns: UnknownColumns = "freeze"
