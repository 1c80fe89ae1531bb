"""BigQuery's own ways with a month: staging tables and objects that go away, and a dataset in another location."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.resources.bigquery import BigQueryWarehouse
from taxi_assets_tests.conftest import World, changed, retries
from taxi_assets_tests.support.versions import APRIL, fails, held

GREEN = DATASETS["green"]


def test_a_staging_table_that_another_run_removes(world: World, monkeypatch: pytest.MonkeyPatch):
    """Of two runs of a month, the later clears what looks like the earlier one's leftovers; that one loads anew."""
    original = BigQueryWarehouse._publish
    removed = []

    def publish(self: Any, client: Any, table: str, staging: str, *rest: Any) -> None:
        if not removed:
            removed.append(staging)
            client.delete_table(staging)
        original(self, client, table, staging, *rest)

    assert world.run("green", APRIL).success
    before = held(world)
    monkeypatch.setattr(BigQueryWarehouse, "_publish", publish)
    result = world.run("green", APRIL, "bigquery_table", force=True)
    assert result.success
    assert retries(result) == 1
    assert held(world) == before
    assert not world.leftovers()


def test_an_object_that_goes_away_before_bigquery_reads_it(world: World, monkeypatch: pytest.MonkeyPatch):
    assert world.run("green", APRIL).success
    before = world.bigquery.month_totals(GREEN, APRIL)
    original = BigQueryWarehouse.replace_month

    def replace_month(self: Any, dataset: Any, month: date, kept: Any, manifest: Any) -> Any:
        return original(self, dataset, month, replace(kept, uri=kept.uri + ".gone"), manifest)

    monkeypatch.setattr(BigQueryWarehouse, "replace_month", replace_month)
    fails(world, ["Google refuses", ".gone"], False, "bigquery_table")
    assert world.bigquery.month_totals(GREEN, APRIL) == before
    assert not world.leftovers()


def test_a_bigquery_dataset_elsewhere_is_named(world: World):
    assert world.run("green", APRIL).success
    world.resources["bigquery"] = changed(world.bigquery, location="EU")
    fails(world, ["is in US and not in EU", "TAXI_BIGQUERY_LOCATION"], False, "bigquery_table")
