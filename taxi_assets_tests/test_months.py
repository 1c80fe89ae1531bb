"""Months as text and as dates."""

from datetime import date

import pytest

from taxi_assets.errors import SettingsError
from taxi_assets.months import month_text, next_month, parse_month


@pytest.mark.parametrize("text", ["2020-04", "2020-04-01"])
def test_a_month(text: str) -> None:
    assert parse_month(text) == date(2020, 4, 1)


@pytest.mark.parametrize(
    "text", ["", "2020", "2020-13", "2020-00", "2020-4", "2020-04-02", " 2020-04", "2020-04\n", "0000-01", "٢٠٢٠-04"]
)
def test_no_month(text: str) -> None:
    with pytest.raises(SettingsError, match="is no month; write it as 2020-04"):
        parse_month(text)


def test_text() -> None:
    assert month_text(date(2009, 1, 31)) == "2009-01"


@pytest.mark.parametrize(("month", "after"), [("2020-04", "2020-05"), ("2020-12", "2021-01"), ("2024-01", "2024-02")])
def test_the_month_after(month: str, after: str) -> None:
    assert next_month(parse_month(month)) == parse_month(after)
