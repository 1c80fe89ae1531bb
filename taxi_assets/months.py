"""Months as the project writes them: a `date` on the first, `YYYY-MM` in file names, `YYYY-MM-01` as partition key."""

import re
from datetime import date

from taxi_assets.errors import SettingsError

# Years that taxis have meters in: what computes with a month may add or subtract a day.
_MONTH = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])(-01)?")


def parse_month(text: str) -> date:
    """The first day of the month written as `2020-04` or `2020-04-01`.

    Raises:
        SettingsError: the text is no month.
    """
    match = _MONTH.fullmatch(text)
    if not match:
        raise SettingsError(f"{text!r} is no month; write it as 2020-04.")
    return date(int(match[1]), int(match[2]), 1)


def month_text(month: date) -> str:
    """`2020-04` for any day of April 2020."""
    return f"{month:%Y-%m}"


def next_month(month: date) -> date:
    """The first day of the month after."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)
