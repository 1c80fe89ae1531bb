"""How a sensor asks: in the plan's order, paced, bounded, and no further once the source is in trouble."""

from collections.abc import Callable, Mapping
from datetime import date

import pytest

from taxi_assets.automation.publication import Answers, Plan
from taxi_assets.automation.sensors import Manners, ask
from taxi_assets.errors import NotPublishedError, SourceError, SourceUnavailableError
from taxi_assets.fingerprint import Fingerprint
from taxi_assets.transport import ForbiddenError

MANNERS = Manners(seconds=10.0, pace_seconds=0.5)
NEW, NEWER = date(2024, 1, 1), date(2024, 2, 1)
OLD, OLDER = date(2020, 4, 1), date(2020, 3, 1)
PLAN = Plan((NEWER, NEW), (OLD, OLDER), only_newest=False)
FRESH = Plan((NEWER, NEW), (), only_newest=True)
NOT_YET = NotPublishedError("HTTP 404")
FORBIDDEN = ForbiddenError("HTTP 403")


class Asked:
    """A source that answers as told, every answer after `seconds`, and a clock."""

    def __init__(self, answers: Mapping[date, Exception] = {}, seconds: float = 0.0) -> None:
        self.answers, self.seconds = answers, seconds
        self.months: list[date] = []
        self.now = 0.0
        self.pauses: list[float] = []

    def look(self, month: date) -> Fingerprint:
        self.months.append(month)
        self.now += self.seconds
        if month in self.answers:
            raise self.answers[month]
        return Fingerprint(f"http://tlc/{month}")

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def of(self, plan: Plan) -> Answers:
        clock: Callable[[], float] = lambda: self.now  # noqa: E731
        return ask(plan, self.look, MANNERS, clock, self.sleep)


def test_months_are_asked_in_order_with_a_pause_between():
    asked = Asked({NEWER: NOT_YET})
    answers = asked.of(PLAN)
    assert asked.months == [NEWER, NEW, OLD, OLDER]
    assert asked.pauses == [0.5] * 3
    assert set(answers.found) == {NEW, OLD, OLDER}
    assert (answers.not_published, answers.trouble, answers.swept) == ({NEWER}, "", OLDER)


def test_a_slow_source_is_asked_only_as_long_as_there_is_time():
    asked = Asked(seconds=6.0)
    answers = asked.of(PLAN)
    assert asked.months == [NEWER, NEW]
    assert (answers.trouble, answers.swept) == ("", None)


def test_403_for_a_month_not_loaded_is_not_published_yet():
    answers = Asked({NEWER: FORBIDDEN}).of(PLAN)
    assert (answers.not_published, answers.trouble) == ({NEWER}, "")


def test_403_for_a_month_that_was_published_stops_the_tick_and_the_next_one_asks_another():
    asked = Asked({OLD: FORBIDDEN})
    answers = asked.of(PLAN)
    assert asked.months == [NEWER, NEW, OLD]
    assert (answers.trouble, answers.swept) == ("HTTP 403", OLD)
    assert set(answers.found) == {NEWER, NEW}


@pytest.mark.parametrize("error", [SourceUnavailableError("HTTP 503"), SourceError("a redirect loop")])
def test_a_source_in_trouble_is_asked_no_further(error: Exception):
    asked = Asked({NEW: error})
    answers = asked.of(PLAN)
    assert asked.months == [NEWER, NEW]
    assert answers.trouble == str(error)
    assert set(answers.found) == {NEWER}


def test_where_nothing_is_loaded_the_newest_published_month_suffices():
    asked = Asked()
    assert set(asked.of(FRESH).found) == {NEWER}
    assert asked.months == [NEWER]


def test_where_nothing_is_loaded_403_for_every_month_is_trouble():
    assert Asked({NEWER: FORBIDDEN, NEW: FORBIDDEN}).of(FRESH).trouble == "HTTP 403"
    assert Asked({NEWER: FORBIDDEN, NEW: NOT_YET}).of(FRESH).trouble == ""
    assert Asked({NEWER: FORBIDDEN}).of(FRESH).trouble == ""
