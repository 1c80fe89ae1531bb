"""Times as text, in each form that files have them in."""

from datetime import datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxi_assets.cleaning.forms import PLAIN, Forms
from taxi_assets.cleaning.times import is_ambiguous, order_of_days, read_times, zone_minutes, zone_name, zones_of

ELEVEN = datetime(2020, 4, 1, 23, 5, 9)
DAY_FIRST, MONTH_FIRST = Forms(day_first=True), Forms(day_first=False)
ZONED, CONVERTED = Forms(zoned=True), Forms(zoned=True, converts_utc=True)


def read(text: str, forms: Forms = PLAIN) -> datetime | None:
    [time] = read_times(pa.array([text]), forms).to_pylist()
    return time


@pytest.mark.parametrize(
    "text",
    [
        *("2020-04-01 23:05:09", "2020-04-01T23:05:09", "2020-4-1 23:05:09", "2020/04/01 23:05:09"),
        *("2020-04-01 23:05:09.0", "2020-04-01T23:05:09.000000000", "2020-04-01 11:05:09 PM"),
        *("04/01/2020 11:05:09 PM", "4/1/2020 11:05:09 pm", "04/01/2020 11:05:09PM", "04-01-2020 11:05:09 p.m."),
        *("01.04.2020 23:05:09", "1.4.2020 23:05:09"),
    ],
)
def test_forms_that_need_no_other_row(text: str) -> None:
    assert read(text) == ELEVEN


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "23:05:09", "2020-04-01 24:05:09", "2020-04-01 23:60:00", "2021-02-29 12:00:00"),
        *("2020-13-01 00:00:00", "04/01/2020 13:05:09 PM", "04/01/2020 0:05:09 AM"),
        *("2020-04-01 23:05:09Z", "2020-04-01 23:05:09 EDT", "4/1/20 11:05:09 PM", "2020-04-01 23:05:09.0000000001"),
    ],
)
def test_what_is_no_time(text: str) -> None:
    assert read(text) is None


def test_the_order_of_day_and_month_is_the_file_s() -> None:
    text = "1/4/2020 23:05:09"
    assert read(text) is None
    assert is_ambiguous(text)
    assert read(text, DAY_FIRST) == ELEVEN
    assert read(text, MONTH_FIRST) == datetime(2020, 1, 4, 23, 5, 9)
    assert not is_ambiguous("1/4/2020 11:05:09 PM")


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ([b"a,1/4/2020 0:00"], set()),
        ([b"a,1/4/2020", b"b,13/4/2020 0:00"], {True}),
        ([b"4/13/2020"], {False}),
        ([b"4/13/2020", b"13/4/2020"], {True, False}),
        ([b"2020-04-13,113/4/2020,1/2/20201"], set()),
    ],
)
def test_rows_show_the_order(parts: list[bytes], found: set[bool]) -> None:
    assert order_of_days(parts) == found


@pytest.mark.parametrize(
    ("text", "as_wall_clock", "converted"),
    [
        ("2020-04-01T12:00:00Z", 12, 8),
        ("2020-04-01 12:00:00 UTC", 12, 8),
        ("2020-04-01 12:00:00+00", 12, 8),
        ("2020-04-01 12:00:00-04:00", 12, 12),
        ("2020-04-01 12:00:00 EST", 13, 13),
        ("2020-04-01 12:00:00+0530", 2, 2),
        ("2020-01-01 12:00:00-0500", 12, 12),
    ],
)
def test_zones(text: str, as_wall_clock: int, converted: int) -> None:
    """UTC may be a label only; every other zone is an instant."""
    hours = [found.hour for forms in (ZONED, CONVERTED) if (found := read(text, forms))]
    assert hours == [as_wall_clock, converted]


def test_zones_have_one_name() -> None:
    assert {zone_name(text) for text in ("Z", "utc", "+00", "+0000", "Etc/UTC", "GMT")} == {"UTC"}
    assert (zone_name("-0400"), zone_minutes("-04:00"), zone_minutes("+99:00"), zone_minutes("PM")) == (
        "-04:00",
        -240,
        None,
        None,
    )
    texts = pa.array(["2020-04-01T12:00:00Z", "2020-04-01 12:00:00", "4/13/2020 1:00:00 PM"])
    assert zones_of(texts) == {"UTC"}


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)))
def test_each_form_of_a_time_is_that_time(time: datetime) -> None:
    half = f"{time.hour % 12 or 12}:{time:%M:%S}.{time.microsecond:06} {time:%p}"
    for text, forms in (
        (time.isoformat(), PLAIN),
        (f"{time.month}/{time.day}/{time.year:04} {half}", PLAIN),
        (f"{time.day}/{time.month}/{time.year:04} {time:%H:%M:%S.%f}", DAY_FIRST),
        (f"{time.day}.{time.month}.{time.year:04} {time:%H:%M:%S.%f}", PLAIN),
        (f"{time.isoformat(timespec='microseconds')}999Z", ZONED),
    ):
        assert read(text, forms) == time, text
