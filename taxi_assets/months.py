"""Months as the project writes them: a `date` on the first, `YYYY-MM` in file names, `YYYY-MM-01` as partition key."""

import re
from datetime import date

from taxi_assets.errors import SettingsError

# Years that taxis have meters in: what computes with a month may add or subtract a day.
_MONTH = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])(-01)?")


def parse_month(text: str) -> date:
    """Return the first day of the month written as `2020-04` or `2020-04-01`.

    Raises:
        SettingsError: The text is no month.
    """
    match = _MONTH.fullmatch(text)
    if not match:
        raise SettingsError(f"{text!r} is no month; write it as 2020-04.")
    return date(int(match[1]), int(match[2]), 1)


def parse_span(text: str) -> tuple[date, date]:
    """Return the first and the last month of a span written as `2019-01..2019-12`, or of a single month.

    Raises:
        SettingsError: The text is neither, or ends before it begins.
    """
    begin, dots, end = text.partition("..")
    first = parse_month(begin)
    last = parse_month(end) if dots else first
    if last < first:
        raise SettingsError(f"{text!r} ends before it begins; write the earlier month first.")
    return first, last


def month_text(month: date) -> str:
    """Return `2020-04` for any day of April 2020."""
    return f"{month:%Y-%m}"


def months_between(earlier: date, later: date) -> int:
    """Return how many months `later` is after `earlier`; negative if it is before."""
    return (later.year - earlier.year) * 12 + later.month - earlier.month


def next_month(month: date) -> date:
    """Return the first day of the month after."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def months_before(month: date, count: int) -> date:
    """Return the first day of the month that is `count` months earlier, for any day of a month."""
    number = month.year * 12 + month.month - 1 - count
    return date(number // 12, number % 12 + 1, 1)
