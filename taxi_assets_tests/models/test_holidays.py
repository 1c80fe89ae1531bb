"""The holidays of some years."""

from datetime import date

import numpy as np
import pytest

from taxi_assets.models.holidays import holidays, is_holiday


@pytest.mark.parametrize(
    ("year", "expected"),
    [
        (2020, ["01-01", "01-20", "02-17", "05-25", "07-04", "09-07", "10-12", "11-11", "11-26", "12-25"]),
        (2023, ["01-02", "01-16", "02-20", "05-29", "06-19", "07-04", "09-04", "10-09", "11-11", "11-23", "12-25"]),
    ],
)
def test_holidays_of_a_year(year: int, expected: list[str]):
    assert holidays(year) == tuple(date.fromisoformat(f"{year}-{day}") for day in expected)


def test_days_over_the_end_of_a_year():
    days = np.array(["2023-12-25", "2023-12-26", "2024-01-01", "2024-01-02"], "datetime64[D]").astype(np.int64)
    assert is_holiday(days).tolist() == [True, False, True, False]
    assert not len(is_holiday(days[:0]))
