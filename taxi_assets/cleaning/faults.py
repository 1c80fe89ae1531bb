"""Why rows of a block are unreadable: for each the first column that failed, what it expects, and its value."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from taxi_assets.cleaning.convert import TOO_LARGE, is_binary
from taxi_assets.cleaning.forms import Forms
from taxi_assets.cleaning.times import is_ambiguous, zones_of
from taxi_assets.cleaning.wording import quoted, shortened
from taxi_assets.contract.new_york import Mask
from taxi_assets.contract.schemas import INTEGER, NUMBER, TEXT, TIME, Column

# Fractions of a second that are 0 left out.
_PLAIN_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.0+)?")
_EXPECTED = {TIME: "time", INTEGER: "whole number", NUMBER: "number", TEXT: "text in UTF-8"}


class Fault(NamedTuple):
    """What is wrong in a row: the column, None for the line itself, what it expects, its value, a phrase of all."""

    column: str | None
    expected: str
    value: str
    text: str


class Kind(Protocol):
    """A fault that rows of a block have in common."""

    def of(self, rows: NDArray[np.int64]) -> list[Fault]:
        """Return the fault of each of the rows."""


class Faults:
    """The unreadable rows of a block with the first fault of each."""

    def __init__(self, rows: int) -> None:
        self._which: NDArray[np.int16] = np.full(rows, -1, np.int16)
        self._kinds: list[Kind] = []

    def add(self, rows: Mask | None, kind: Kind) -> None:
        """Mark rows, unless they are marked already."""
        if rows is not None:
            self._which[rows & (self._which < 0)] = len(self._kinds)
            self._kinds.append(kind)

    @property
    def mask(self) -> Mask | None:
        """The unreadable rows; None stands for none."""
        return self._which >= 0 if self._kinds else None

    def of(self, rows: NDArray[np.int64]) -> list[Fault | None]:
        """Return the fault of each of the rows, None for a readable one."""
        found: list[Fault | None] = [None] * len(rows)
        which = self._which[rows]
        for number in np.unique(which[which >= 0]):
            places = np.flatnonzero(which == number)
            for place, fault in zip(places.tolist(), self._kinds[number].of(rows[places]), strict=True):
                found[place] = fault
        return found


@dataclass(frozen=True)
class BadValue:
    """A value that is not of its column's type."""

    name: str
    column: Column
    published: pa.Array
    forms: Forms

    def of(self, rows: NDArray[np.int64]) -> list[Fault]:
        """Return the fault of each of the rows."""
        faults = []
        for text in texts_of(self.published, rows):
            value = _as_if_read(text, self.column)
            expected = _expected(self.column, value, self.forms)
            faults.append(Fault(self.name, expected, shortened(value), f"{self.name} {quoted(value)} is no {expected}"))
        return faults


def _as_if_read(text: str, column: Column) -> str:
    """Return the text that Arrow makes of the value: whether a block was read as values depends on its other rows."""
    if column.type in (INTEGER, NUMBER):
        return _as_number(text)
    plain = _PLAIN_TIME.fullmatch(text) if column.type == TIME else None
    return f"{plain[1]} {plain[2]}" if plain else text


def _as_number(text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        return text
    return f"{number:.15g}" if math.isfinite(number) else text


def _expected(column: Column, value: str, forms: Forms) -> str:
    if column.type == TIME:
        if is_ambiguous(value) and forms.day_first is None:
            return "time that shows what is the day"
        if not forms.zoned and zones_of(pa.array([value], TEXT)):
            return "time without a zone, as the first ones of the file are"
    elif column.type in (INTEGER, NUMBER):
        try:
            number = abs(float(value))
        except ValueError:
            number = 0.0
        if column.type == INTEGER and number >= 2**31:
            return "whole number of 32 bits"
        if column.type == NUMBER and number >= TOO_LARGE:
            return "number below a billion"
    return _EXPECTED[column.type]


@dataclass(frozen=True)
class Contradiction:
    """Two published columns of one canonical column that have different values."""

    names: tuple[str, str]
    published: tuple[pa.Array, pa.Array]

    def of(self, rows: NDArray[np.int64]) -> list[Fault]:
        """Return the fault of each of the rows."""
        first, second = self.names
        pairs = zip(*(texts_of(array, rows) for array in self.published), strict=True)
        return [
            Fault(
                second,
                f"the value of {first}",
                shortened(other),
                f"{second} {quoted(other)} contradicts {first} {quoted(value)}",
            )
            for value, other in pairs
        ]


@dataclass(frozen=True)
class ExtraField:
    """A field beyond the header that is not empty."""

    number: int
    published: pa.Array

    def of(self, rows: NDArray[np.int64]) -> list[Fault]:
        """Return the fault of each of the rows."""
        return [
            Fault(
                None,
                "no field beyond the header",
                shortened(value),
                f"field {self.number} has no name, {quoted(value)}",
            )
            for value in texts_of(self.published, rows)
        ]


def torn(fields: int, expected: int) -> Fault:
    """Return the fault of a line with another number of fields than the file."""
    found = f"{fields} field{'s' if fields > 1 else ''}" if fields else "no clear number of fields"
    return Fault(None, f"{expected} fields", found, f"a line has {found} and not {expected}")


def texts_of(published: pa.Array, rows: NDArray[np.int64]) -> Sequence[str]:
    """Return the values of the rows as text."""
    # Arrow cannot take from a string view.
    values = published.cast(TEXT) if pa.types.is_string_view(published.type) else published
    values = values.take(pa.array(rows))
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if is_binary(values.type):
        return ["" if v is None else v.decode("utf-8", "backslashreplace") for v in values.to_pylist()]
    return ["" if v is None else v for v in values.cast(TEXT).to_pylist()]
