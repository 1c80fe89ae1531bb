"""What the first values of a file show about the forms of all: how times, numbers and missing values are written. Pure.

A value in another form that comes later is unreadable rather than guessed at.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from taxi_assets.cleaning.forms import Forms
from taxi_assets.cleaning.times import PLAIN_TIME, is_ambiguous, zones_of
from taxi_assets.cleaning.wording import quoted
from taxi_assets.contract.schemas import NULL_WORDS, NUMBER, TEXT, TIME, Column
from taxi_assets.errors import ContractError

_SECONDS_OF_AN_EPOCH = re.compile(r"[0-9]{9,19}(\.0*)?")
_TIME_OF_DAY = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?( ?[AaPp][Mm])?")
_COMMA_IN_NUMBER = re.compile(r"[+-]?[0-9.]*,([0-9]{1,2}|[0-9]{4,})")
_POINT_IN_NUMBER = re.compile(r"[+-]?[0-9]*\.([0-9]{1,2}|[0-9]{4,})")


@dataclass(frozen=True)
class Published:
    """A column of a file as published, and its first values as text."""

    name: str
    column: Column | None
    values: Sequence[str]

    @property
    def present(self) -> list[str]:
        """The values without those that stand for none."""
        return [v for v in map(str.strip, self.values) if v and v.lower() not in NULL_WORDS]


@dataclass(frozen=True)
class Sniffed:
    """What was found: the columns with the codes that the file uses, its forms, and what `Layout` has besides."""

    columns: tuple[Column | None, ...]
    forms: Forms
    zones: frozenset[str]
    undecided: str | None


def sniff(published: Sequence[Published], *, converts_utc: bool, commas_are_free: bool) -> Sniffed:
    """Return what the first values show.

    Args:
        published: The file's columns.
        converts_utc: Whether times marked UTC are to be converted.
        commas_are_free: Whether commas can be decimal signs, since they do not separate the fields.

    Raises:
        ContractError: A column of times holds numbers or times of day.
    """
    times = [value for one in published if _is(one, TIME) for value in _times(one)]
    zones = zones_of(pa.array(times, TEXT)) if times else set()
    words = _null_words(published)
    columns = tuple(one.column and _without_codes(one.column, words) for one in published)
    forms = Forms(
        plain_times=all(re.fullmatch(PLAIN_TIME, value) for value in times),
        zoned=bool(zones),
        converts_utc=converts_utc,
        decimal_comma=commas_are_free and _have_decimal_commas(published),
        null_words=words,
    )
    return Sniffed(columns, forms, frozenset(zones), next(filter(is_ambiguous, times), None))


def _is(one: Published, type_: pa.DataType) -> bool:
    return one.column is not None and one.column.type == type_


def _times(one: Published) -> list[str]:
    values = one.present
    if one.column is None or one.column.name != "pickup_datetime":
        return values
    for pattern, what in (
        (_SECONDS_OF_AN_EPOCH, "whole numbers, such as seconds since 1970,"),
        (_TIME_OF_DAY, "times of day without a date"),
    ):
        if values and all(pattern.fullmatch(value) for value in values):
            raise not_times(one.name, f"{what} ({quoted(values[0])})")
    return values


def not_times(name: str, what: str) -> ContractError:
    """Return the error for a column of times that holds something else."""
    return ContractError(
        f"The column {quoted(name)} holds {what} where times are expected; write them as 2020-04-01 12:15:56, New York "
        "wall-clock time."
    )


def _have_decimal_commas(published: Sequence[Published]) -> bool:
    numbers = [value for one in published if _is(one, NUMBER) for value in one.present]
    points = any(_POINT_IN_NUMBER.fullmatch(value) for value in numbers)
    return not points and any(_COMMA_IN_NUMBER.fullmatch(value) for value in numbers)


def _null_words(published: Sequence[Published]) -> frozenset[str]:
    """Return the words for no value, as they are written, of columns that do not have them as codes."""
    return frozenset(
        value
        for one in published
        if one.column is not None
        for value in one.values
        if value.lower() in NULL_WORDS and value.lower() not in one.column.codes
    )


def _without_codes(column: Column, words: frozenset[str]) -> Column:
    """Return the column without codes that the file uses as words for no value: `NA` is also a payment of 2009."""
    unused = {word.lower() for word in words} & set(column.codes)
    if not unused:
        return column
    return replace(column, codes={code: value for code, value in column.codes.items() if code not in unused})
