"""The assets of the marts: what they hang on, and months made through them, alone and as a run of a backfill."""

from datetime import date

import dagster as dg
import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.assets.marts import build_month_marts, build_views, key
from taxi_assets.marts.catalog import catalog
from taxi_assets_tests.conftest import World, instance

APRIL, MAY = date(2020, 4, 1), date(2020, 5, 1)
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


@pytest.mark.parametrize(("warehouse", "table"), [("postgres", "postgres_table"), ("bigquery", "bigquery_table")])
def test_lineage_leads_from_each_table_of_trips_to_every_view(warehouse: str, table: str) -> None:
    marts = [build_views(warehouse), *(build_month_marts(d, warehouse) for d in DATASETS.values())]
    deps = {spec.key: {dep.asset_key for dep in spec.deps} for asset in marts for spec in asset.specs}
    found = {key(warehouse, model.name): _all_upstream(deps, key(warehouse, model.name)) for model in catalog().views}
    tables = {dg.AssetKey([dataset, table]) for dataset in DATASETS}
    static = {key(warehouse, name) for name in ("dim_date", "dim_zone", "dim_service", "dim_payment_type")}
    assert [k for k, upstream in found.items() if not tables <= upstream and k not in static] == []


def test_columns_of_marts_come_from_columns_of_the_tables() -> None:
    [spec] = [s for s in build_month_marts(DATASETS["green"], "postgres").specs if s.key.path[-1] == "fct_zone_hour"]
    lineage = spec.metadata["dagster/column_lineage"].deps_by_column
    table = dg.AssetKey(["green", "postgres_table"])
    assert lineage["sum_fare_usd"] == [dg.TableColumnDep(table, "fare_amount")]


def test_two_months_are_made_in_one_run_with_their_rows_and_checks(world: World) -> None:
    for month in (APRIL, MAY):
        assert world.run("green", month).success
    result = dg.materialize(
        [build_month_marts(DATASETS["green"], "postgres")],
        resources=world.resources,
        instance=instance(),
        run_config=QUIET,
        tags={
            "dagster/asset_partition_range_start": APRIL.isoformat(),
            "dagster/asset_partition_range_end": MAY.isoformat(),
        },
    )
    assert result.success
    made = [
        e for e in result.get_asset_materialization_events() if e.asset_key == key("postgres", "green", "quality_month")
    ]
    assert {event.partition for event in made} == {APRIL.isoformat(), MAY.isoformat()}
    counts = [event.materialization.metadata["dagster/partition_row_count"].value for event in made]
    assert counts == [1, 1]
    checks = result.get_asset_check_evaluations()
    assert {check.check_name for check in checks} == set(catalog().tests)
    assert all(check.passed for check in checks)


def _all_upstream(deps: dict[dg.AssetKey, set[dg.AssetKey]], start: dg.AssetKey) -> set[dg.AssetKey]:
    found, waiting = set(), [start]
    while waiting:
        for upstream in deps.get(waiting.pop(), set()) - found:
            found.add(upstream)
            waiting.append(upstream)
    return found
