"""What the sensors decide: which months to ask for, what the result mean, what a cursor keeps."""

from collections.abc import Mapping
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxi_assets.defs.ingestion.polling import (
    DOWN_AFTER,
    MANY_CHANGES,
    MAX_BACKOFF_SECONDS,
    WINDOW_MONTHS,
    Decision,
    PollResult,
    SensorState,
    decide,
    has_changed,
    is_overdue,
    last_ended,
    plan,
)
from taxi_assets.download.fingerprint import Fingerprint
from taxi_assets.months import months_before

FIRST = date(2013, 8, 1)
TODAY = date(2024, 6, 20)
NEWEST = date(2024, 5, 1)
INTERVAL = 1800.0
LIMIT = 20

MONTHS = st.integers(0, 129).map(lambda back: months_before(NEWEST, back))
CONTENTS = st.integers(0, 3)
MEMORIES = st.builds(
    SensorState,
    requested=st.dictionaries(MONTHS, st.text("0123456789abcdef", min_size=12, max_size=12)),
    swept=st.none() | MONTHS,
    failures=st.integers(0, 50),
    trouble=st.text(),
    retry_at=st.floats(0, 4e9),
    overdue=st.frozensets(MONTHS),
)


def file(month: date, content: int, url: str = "http://tlc") -> Fingerprint:
    return Fingerprint(f"{url}/{month:%Y-%m}", f'"{content}"', None, 100 + content)


def ago(*backs: int) -> set[date]:
    return {months_before(NEWEST, back) for back in backs}


class Source:
    """What is published, and a lake that holds what was requested once the run is done."""

    def __init__(self, published: Mapping[date, int], loaded: Mapping[date, int]) -> None:
        self.published = dict(published)
        self.lake: dict[date, Fingerprint | None] = {month: file(month, n) for month, n in loaded.items()}
        self.state = SensorState()
        self.keys: list[str] = []

    def tick(self, *, runs_succeed: bool = True, trouble: str = "") -> Decision:
        wanted = plan(FIRST, TODAY, self.lake, self.state, LIMIT)
        there = [month for month in wanted.wanted if month in self.published]
        asked = [*(there[:1] if wanted.only_newest else wanted.wanted), *wanted.sweep]
        assert len(wanted.wanted) + len(wanted.sweep) <= LIMIT
        found = {month: file(month, self.published[month]) for month in asked if month in self.published}
        absent = frozenset(set(asked) - found.keys())
        if wanted.only_newest and not there:
            absent |= frozenset(wanted.wanted)
        result = (
            PollResult({}, trouble=trouble)
            if trouble
            else PollResult(found, absent, "", wanted.sweep[-1:][0] if wanted.sweep else None)
        )
        decision = decide(wanted, result, self.lake, self.state, TODAY, 1000.0, INTERVAL)
        # As Dagster does: a key that was used is used no more.
        fresh = {month: key for month, key in decision.requests.items() if key not in self.keys}
        self.keys += fresh.values()
        if runs_succeed:
            self.lake |= {month: file(month, self.published[month]) for month in fresh}
        self.state = decision.state
        return decision


def test_the_first_tick_of_an_empty_installation_takes_the_newest_published_month_only():
    source = Source(dict.fromkeys(ago(2, 3, 4, 5), 1), {})
    assert set(source.tick().requests) == ago(2)
    assert not source.tick().requests


def test_months_appear_late_and_out_of_order():
    source = Source(dict.fromkeys(ago(6), 1), {})
    assert set(source.tick().requests) == ago(6)
    source.published |= dict.fromkeys(ago(4), 1)
    assert set(source.tick().requests) == ago(4)
    source.published |= dict.fromkeys(ago(5, 3), 1)
    assert set(source.tick().requests) == ago(5, 3)
    assert not source.tick().requests


def test_history_is_not_loaded_by_itself():
    everything = {month: 1 for month in ago(*range(130))}
    source = Source(everything, {months_before(NEWEST, 60): 1, months_before(NEWEST, 3): 1})
    assert set(source.tick().requests) == ago(0, 1, 2)
    assert not source.tick().requests


def test_newest_months_are_asked_first_and_then_loaded_ones_in_turn():
    loaded = ago(*range(2, 130))
    first = plan(FIRST, TODAY, loaded, SensorState(), LIMIT)
    assert first.wanted == (months_before(NEWEST, 0), months_before(NEWEST, 1))
    assert first.sweep == tuple(months_before(NEWEST, back) for back in range(2, 20))
    second = plan(FIRST, TODAY, loaded, SensorState(swept=first.sweep[-1]), LIMIT)
    assert second.sweep == tuple(months_before(NEWEST, back) for back in range(20, 38))


@given(loaded=st.frozensets(MONTHS, min_size=1))
def test_a_sweep_asks_every_loaded_month_in_a_bounded_number_of_ticks(loaded: frozenset[date]):
    state, asked = SensorState(), set()
    for _ in range(-(-len(loaded) // (LIMIT - WINDOW_MONTHS))):
        turn = plan(FIRST, TODAY, loaded, state, LIMIT)
        asked |= set(turn.sweep)
        state = SensorState(swept=turn.sweep[-1])
    assert asked == loaded


@given(
    published=st.dictionaries(MONTHS, CONTENTS),
    loaded=st.dictionaries(MONTHS, CONTENTS),
    # More of them at once count as a source in trouble.
    corrections=st.dictionaries(MONTHS, st.integers(4, 6), max_size=MANY_CHANGES - 1),
    lost=st.booleans(),
)
def test_each_content_is_requested_once_and_the_lake_ends_as_the_source(
    published: dict[date, int], loaded: dict[date, int], corrections: dict[date, int], lost: bool
):
    source = Source(published | loaded, loaded)
    for _ in range(20):
        source.tick()
    assert all(source.lake[month] == file(month, n) for month, n in loaded.items())
    held = set(source.lake)
    source.published |= {month: n for month, n in corrections.items() if month in source.published}
    before = len(source.keys)
    if lost:
        source.state = SensorState.from_json("not a cursor") or SensorState()
    for _ in range(20):
        source.tick()
    assert len(source.keys) == len(set(source.keys))
    assert len(source.keys) - before == len({m for m in corrections if m in held})
    assert all(source.lake[month] == file(month, source.published[month]) for month in source.lake)
    assert not source.tick().requests


def test_a_month_whose_run_failed_is_asked_for_again_only_with_another_file():
    source = Source({months_before(NEWEST, 2): 1, months_before(NEWEST, 3): 1}, {months_before(NEWEST, 3): 1})
    assert set(source.tick(runs_succeed=False).requests) == ago(2)
    assert not source.tick(runs_succeed=False).requests
    source.published[months_before(NEWEST, 2)] = 2
    assert set(source.tick().requests) == ago(2)
    assert not source.tick().requests


def test_a_correction_that_is_taken_back_is_loaded_too():
    month = months_before(NEWEST, 3)
    source = Source({month: 1}, {month: 1})
    for content in (2, 1):
        source.published[month] = content
        assert set(source.tick().requests) == {month}
        assert not source.tick().requests
    assert len(set(source.keys)) == 2


def test_months_loaded_from_another_source_are_said_and_left():
    month = months_before(NEWEST, 3)
    source = Source({month: 1}, {})
    source.lake = {month: file(month, 7, "sample:")}
    decision = source.tick()
    assert not decision.requests
    assert "loaded from another source, so not compared 2024-02" in decision.summary


def test_a_month_archived_without_a_fingerprint_is_left():
    month = months_before(NEWEST, 3)
    source = Source({month: 1}, {})
    source.lake = {month: None}
    assert not source.tick().requests


@pytest.mark.parametrize(
    ("loaded", "seen", "changed"),
    [
        (("a", "Mon", 1), ("a", "Tue", 1), False),
        (('W/"a"', None, 1), ('"a"', None, 1), False),
        (("a", "Mon", 1), ("b", "Mon", 1), True),
        ((None, "Mon", 1), (None, "Tue", 1), True),
        ((None, "Mon", 1), (None, "Mon", 2), True),
        ((None, "Mon", 1), (None, "Mon", None), False),
        (("a", "Mon", 1), (None, "Mon", 2), True),
        ((None, None, 1), ("a", "Mon", None), False),
    ],
)
def test_what_counts_as_a_change(loaded: tuple, seen: tuple, changed: bool):
    assert has_changed(Fingerprint("u", *loaded), Fingerprint("u", *seen)) is changed


def page(month: date) -> Fingerprint:
    return Fingerprint(f"http://tlc/{month:%Y-%m}", None, None, 900)


def decided(loaded: Mapping[date, Fingerprint | None], found: Mapping[date, Fingerprint]) -> Decision:
    state = SensorState()
    wanted = plan(FIRST, TODAY, loaded, state, LIMIT)
    return decide(wanted, PollResult(found), loaded, state, TODAY, 1000.0, INTERVAL)


def test_a_page_for_every_month_is_a_source_in_trouble_and_requests_nothing():
    months = ago(0, 1, 2, 3)
    decision = decided({month: file(month, 1) for month in ago(2, 3)}, {month: page(month) for month in months})
    assert not decision.requests
    assert decision.state.is_down
    assert "one and the same file" in decision.state.trouble
    assert not decision.state.requested


def test_many_changes_at_once_are_a_source_in_trouble_and_few_are_changes():
    loaded = {month: file(month, 1) for month in ago(*range(2, 12))}
    for changes, requests in ((4, 4), (6, 0), (10, 0)):
        months = sorted(loaded)
        found = {m: Fingerprint(f"http://tlc/{m:%Y-%m}", f'"{m}"', None, 200) for m in months[:changes]}
        found |= {m: file(m, 1) for m in months[changes:]}
        decision = decided(loaded, found)
        assert len(decision.requests) == requests
        assert decision.state.is_down == (requests == 0)


def test_a_month_that_shrinks_to_a_page_is_no_change():
    [month] = ago(3)
    loaded = {month: Fingerprint("http://tlc/x", '"a"', None, 15_000_000)}
    decision = decided(loaded, {month: Fingerprint("http://tlc/x", '"b"', None, 2_000)})
    assert not decision.requests
    assert "2,000 bytes at the source where 15,000,000 were loaded" in decision.state.trouble


def test_the_back_off_doubles_up_to_a_bound_and_ends_with_the_trouble():
    source = Source({}, {months_before(NEWEST, 3): 1})
    waits = []
    for number in range(1, 12):
        source.tick(trouble="HTTP 503.")
        assert source.state.failures == number
        assert source.state.is_down is (number >= DOWN_AFTER)
        waits.append(source.state.retry_at - 1000)
    assert waits[:4] == [1800, 3600, 7200, 14400]
    assert waits[-1] == MAX_BACKOFF_SECONDS
    source.tick()
    assert (source.state.failures, source.state.trouble, source.state.retry_at) == (0, "", 0)


def test_a_month_is_overdue_after_the_usual_lag_and_a_month_of_grace():
    assert not is_overdue(date(2024, 1, 1), date(2024, 4, 30))
    assert is_overdue(date(2024, 1, 1), date(2024, 5, 1))
    assert last_ended(date(2024, 1, 31)) == date(2023, 12, 1)


def test_overdue_months_stay_so_until_they_are_published():
    source = Source({months_before(NEWEST, 6): 1}, {months_before(NEWEST, 6): 1})
    source.tick()
    # On 20 June: February ended on 1 March, and two months and 30 days later it is 31 May.
    assert source.state.overdue == ago(3, 4, 5)
    source.tick(trouble="down")
    assert source.state.overdue == ago(3, 4, 5)
    source.published[months_before(NEWEST, 4)] = 1
    source.tick()
    assert source.state.overdue == ago(3, 5)


def test_a_source_that_has_nothing_is_said_by_one_overdue_month():
    source = Source({}, {})
    decision = source.tick()
    assert source.state.overdue == ago(3)
    assert "not published 2024-05, 2024-04" in decision.summary


@given(MEMORIES)
def test_a_cursor_is_read_as_it_was_written(state: SensorState):
    assert SensorState.from_json(state.to_json()) == state


@pytest.mark.parametrize("text", [None, "", "{", "[]", "7", "null", '{"version": 2}', '{"version": 1}', "2024-01-01"])
def test_what_is_no_cursor_is_none(text: str | None):
    assert SensorState.from_json(text) is None


@given(st.text())
def test_any_text_is_a_cursor_or_none(text: str):
    SensorState.from_json(text)
