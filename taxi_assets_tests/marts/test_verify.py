"""`taxi verify` finds marts that are not those of their tables, and `taxi rebuild --marts` mends them."""

import json
import shlex
from datetime import date

import dagster as dg

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.ingestion.polling import PollingLimits
from taxi_assets.defs.operations.reconciliation import build_reconciliation_asset
from taxi_assets_tests.conftest import World, instance
from taxi_assets_tests.marts.conftest import marts_of
from taxi_assets_tests.reconcile.test_rebuild import taxi

QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
MARCH = date(2019, 3, 1)


def test_marts_that_differ_are_named_and_made_again_by_the_command(filled: World) -> None:
    assert taxi(filled, "verify", "fhv").exit_code == 0
    marts = marts_of(filled, "postgres")
    before = marts.month_sums(DATASETS["fhv"])
    assert before is not None
    with filled.postgres.connect() as connection:
        connection.execute(
            f"DELETE FROM {marts.name('fct_zone_hour')} WHERE dataset = 'fhv' AND source_month = '{MARCH}'".encode()
        )
    assert marts_behind(filled) == "PostgreSQL: 2019-03"
    done = taxi(filled, "verify", "fhv", "--json")
    assert done.exit_code == 1
    [report] = json.loads(done.stdout)["datasets"]
    [difference] = report["differences"]
    assert difference["place"] == "PostgreSQL's marts"
    assert (difference["found"], difference["month"]) == ("trips 0", MARCH.isoformat())
    assert difference["expected"] == f"trips {before[MARCH].rows:,}"
    command = shlex.split(difference["command"])
    mended = taxi(filled, *command[1:])
    assert mended.exit_code == 0, mended.output
    assert "1 months of marts made, 0 failed." in mended.output
    assert marts.month_sums(DATASETS["fhv"]) == before
    assert taxi(filled, "verify", "fhv").exit_code == 0
    assert marts_behind(filled) == "none"


def marts_behind(world: World) -> str:
    """Return what the reconciliation says of the marts of fhv."""
    limits = PollingLimits(months=1)
    asset = build_reconciliation_asset(DATASETS["fhv"], limits)
    done = dg.materialize([asset], resources=world.resources, run_config=QUIET, instance=instance())
    [event] = done.get_asset_materialization_events()
    return str(event.materialization.metadata["marts_behind"].value)


def test_all_marts_are_made_anew_from_the_tables_alone(filled: World) -> None:
    marts = marts_of(filled, "postgres")
    before = {name: marts.month_sums(dataset) for name, dataset in DATASETS.items()}
    with filled.postgres.connect() as connection:
        # A month that the tables do not have, and a table as another version had it.
        connection.execute(b"UPDATE taxi_marts.fct_zone_hour SET source_month = '2031-01-01' WHERE dataset = 'fhv'")
        connection.execute(b"ALTER TABLE taxi_marts.quality_month DROP COLUMN clock_change_trips")
    done = taxi(filled, "rebuild", "--marts", "--postgres")
    assert done.exit_code == 0, done.output
    assert {name: marts.month_sums(dataset) for name, dataset in DATASETS.items()} == before
    assert marts.query(f"SELECT SUM(clock_change_trips) FROM {marts.name('quality_month')}")[1][0][0] > 0
    assert marts.query(f"SELECT COUNT(*) FROM {marts.name('market_share_day')}")[1][0][0] > 0
