"""What counts as a difference between the places, and when a dataset counts as behind."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import pytest

from taxi_assets.contract.manifest import Manifest, Totals
from taxi_assets.reconcile.compare import FAIL_BEHIND, WARN_BEHIND, Places, compare, freshness

JUNE, JULY, AUGUST = (date(2026, month, 1) for month in (6, 7, 8))
OLD = date(2019, 3, 1)


def manifest(rows: int = 100, sha256: str = "a") -> Manifest:
    return Manifest("green", JUNE, "1", "", sha256, rows, "", "", {}, {}, [], Totals(rows))


def places(*months: date, published: tuple[date, ...] = ()) -> Places:
    rows = dict.fromkeys(months, 100)
    return Places(set(published), dict.fromkeys(months, manifest()), rows, dict(rows), {month: "a" for month in months})


def found(wanted: Places) -> Mapping[date, str]:
    return {finding.month: finding.what for finding in compare(wanted)}


def test_equal_places_differ_in_nothing():
    assert compare(places(JUNE, JULY)) == []


def test_where_nothing_was_ever_loaded_nothing_is_missing():
    assert compare(places(published=(JULY,))) == []


def test_every_kind_of_difference_has_its_words():
    base = places(JUNE)
    assert found(places(JUNE, published=(JULY, AUGUST))) == dict.fromkeys((AUGUST, JULY), "published, but not loaded")
    assert found(replace(base, bigquery={})) == {JUNE: "missing in BigQuery"}
    assert found(replace(base, postgres={}, bigquery={})) == {JUNE: "missing in BigQuery, missing in PostgreSQL"}
    assert found(replace(base, postgres={JUNE: 99})) == {JUNE: "99 rows in PostgreSQL and 100 in the lake"}
    assert found(replace(base, loaded_from={JUNE: "b"})) == {JUNE: "PostgreSQL has the rows of an older raw file"}
    assert found(replace(base, lake={JUNE: None})) == {JUNE: "the object in the lake was put there by hand"}
    assert found(replace(base, lake={})) == {
        JUNE: "not in the lake, but 100 rows in BigQuery and 100 rows in PostgreSQL"
    }
    # A partition without its comment says nothing of its file, and the rows agree.
    assert found(replace(base, loaded_from={})) == {}


@pytest.mark.parametrize(
    ("loaded", "published", "behind"),
    [
        ((JUNE, JULY), (), 0),
        ((JUNE, JULY), (JULY,), 0),
        ((JUNE, JULY), (AUGUST,), 1),
        ((JUNE,), (JULY, AUGUST), 2),
        ((OLD,), (AUGUST,), 89),
    ],
)
def test_behind_is_counted_in_months(loaded: tuple[date, ...], published: tuple[date, ...], behind: int):
    fresh = freshness(places(*loaded, published=published))
    assert fresh.behind == behind
    assert (fresh.warns, fresh.fails) == (behind >= WARN_BEHIND, behind >= FAIL_BEHIND)
    assert f"{behind} months behind" in fresh.description


def test_an_old_month_that_is_loaded_today_is_no_fresher():
    before = freshness(places(JUNE, published=(AUGUST,)))
    assert freshness(places(JUNE, OLD, published=(AUGUST,))) == before


def test_a_month_that_a_warehouse_lacks_is_not_loaded():
    lacking = places(JUNE, JULY)
    assert freshness(replace(lacking, bigquery={JUNE: 100})).behind == 1
    assert freshness(replace(lacking, bigquery={})).fails
    assert "No month is in the lake and in both warehouses" in freshness(replace(lacking, bigquery={})).description


def test_what_nobody_loads_is_not_behind():
    fresh = freshness(places(published=(AUGUST,)))
    assert (fresh.behind, fresh.warns, fresh.fails) == (None, False, False)
