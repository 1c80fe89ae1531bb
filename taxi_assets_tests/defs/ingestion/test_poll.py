"""How a sensor polls: in the plan's order, paced, bounded, and no further once the source is in trouble."""

from collections.abc import Callable, Mapping
from datetime import date

import pytest

from taxi_assets.defs.ingestion.polling import PollingLimits, PollPlan, PollResult, poll
from taxi_assets.download.fingerprint import Fingerprint
from taxi_assets.download.http import ForbiddenError
from taxi_assets.errors import NotPublishedError, SourceError, SourceUnavailableError

POLLING_LIMITS = PollingLimits(seconds=10.0, pace_seconds=0.5)
NEW, NEWER = date(2024, 1, 1), date(2024, 2, 1)
OLD, OLDER = date(2020, 4, 1), date(2020, 3, 1)
PLAN = PollPlan((NEWER, NEW), (OLD, OLDER), only_newest=False)
FRESH = PollPlan((NEWER, NEW), (), only_newest=True)
NOT_YET = NotPublishedError("HTTP 404")
FORBIDDEN = ForbiddenError("HTTP 403")


class Asked:
    """A source with given errors that responds after `seconds`, and a clock."""

    def __init__(self, result: Mapping[date, Exception] = {}, seconds: float = 0.0) -> None:
        self.result, self.seconds = result, seconds
        self.months: list[date] = []
        self.now = 0.0
        self.pauses: list[float] = []

    def probe(self, month: date) -> Fingerprint:
        self.months.append(month)
        self.now += self.seconds
        if month in self.result:
            raise self.result[month]
        return Fingerprint(f"http://tlc/{month}")

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def of(self, plan: PollPlan) -> PollResult:
        clock: Callable[[], float] = lambda: self.now  # noqa: E731
        return poll(plan, self.probe, POLLING_LIMITS, clock, self.sleep)


def test_months_are_asked_in_order_with_a_pause_between():
    asked = Asked({NEWER: NOT_YET})
    result = asked.of(PLAN)
    assert asked.months == [NEWER, NEW, OLD, OLDER]
    assert asked.pauses == [0.5] * 3
    assert set(result.found) == {NEW, OLD, OLDER}
    assert (result.not_published, result.trouble, result.swept) == ({NEWER}, "", OLDER)


def test_a_slow_source_is_asked_only_as_long_as_there_is_time():
    asked = Asked(seconds=6.0)
    result = asked.of(PLAN)
    assert asked.months == [NEWER, NEW]
    assert (result.trouble, result.swept) == ("", None)


def test_403_for_a_month_not_loaded_is_not_published_yet():
    result = Asked({NEWER: FORBIDDEN}).of(PLAN)
    assert (result.not_published, result.trouble) == ({NEWER}, "")


def test_403_for_a_month_that_was_published_stops_the_tick_and_the_next_one_asks_another():
    asked = Asked({OLD: FORBIDDEN})
    result = asked.of(PLAN)
    assert asked.months == [NEWER, NEW, OLD]
    assert (result.trouble, result.swept) == ("HTTP 403", OLD)
    assert set(result.found) == {NEWER, NEW}


@pytest.mark.parametrize("error", [SourceUnavailableError("HTTP 503"), SourceError("a redirect loop")])
def test_a_source_in_trouble_is_asked_no_further(error: Exception):
    asked = Asked({NEW: error})
    result = asked.of(PLAN)
    assert asked.months == [NEWER, NEW]
    assert result.trouble == str(error)
    assert set(result.found) == {NEWER}


def test_where_nothing_is_loaded_the_newest_published_month_suffices():
    asked = Asked()
    assert set(asked.of(FRESH).found) == {NEWER}
    assert asked.months == [NEWER]


def test_where_nothing_is_loaded_403_for_every_month_is_trouble():
    assert Asked({NEWER: FORBIDDEN, NEW: FORBIDDEN}).of(FRESH).trouble == "HTTP 403"
    assert Asked({NEWER: FORBIDDEN, NEW: NOT_YET}).of(FRESH).trouble == ""
    assert Asked({NEWER: FORBIDDEN}).of(FRESH).trouble == ""
