"""The sensor of the marts: a month's marts follow its tables, whatever its age, and once more when it is corrected."""

from datetime import date

import dagster as dg

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.assets import build_assets
from taxi_assets.defs.assets.marts import GROUP, build_month_marts, build_views, key
from taxi_assets.marts.catalog import catalog
from taxi_assets_tests.conftest import World
from taxi_assets_tests.support.automation import evaluate

APRIL = date(2020, 4, 1)
GREEN = DATASETS["green"]
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


def test_marts_follow_the_load_of_an_old_month_and_its_correction(
    world: World, dagster_home: dg.DagsterInstance
) -> None:
    marts = build_month_marts(GREEN, "postgres")
    definitions = dg.Definitions([*build_assets(GREEN), marts, build_views("postgres")], resources=world.resources)
    selection = dg.AssetSelection.groups(GROUP)
    cursor = None

    def tick() -> dict[dg.AssetKey, set[str | None]]:
        nonlocal cursor
        result = evaluate(definitions, dagster_home, selection, cursor=cursor)
        cursor = result.cursor
        asked = {k: result.get_requested_partitions(k) for k in definitions.resolve_all_asset_keys()}
        return {k: partitions for k, partitions in asked.items() if partitions and len(k.path) == 4}

    assert tick() == {}
    assert world.run("green", APRIL, home=dagster_home).success
    wanted = {key("postgres", "green", model.name): {APRIL.isoformat()} for model in catalog().facts}
    assert tick() == wanted
    made = dg.materialize(
        [marts], partition_key=APRIL.isoformat(), resources=world.resources, instance=dagster_home, run_config=QUIET
    )
    assert made.success
    assert tick() == {}
    assert tick() == {}
    # TLC publishes the month anew: its tables are loaded again.
    assert world.run("green", APRIL, "postgres_table", home=dagster_home, force=True).success
    assert tick() == wanted
