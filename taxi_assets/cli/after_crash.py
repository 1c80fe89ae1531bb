"""What `taxi up` does after a crash: compares what was being written with the lake, names and mends what differs."""

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import dagster as dg

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.build import lake_and_warehouses
from taxi_assets.defs.operations.active_runs import datasets_of
from taxi_assets.errors import SettingsError, TaxiError
from taxi_assets.local import state
from taxi_assets.local.environment import environment
from taxi_assets.months import parse_month
from taxi_assets.reconcile.unfinished import Unfinished, mend, unfinished_months
from taxi_assets.resources.warehouse import WAREHOUSES
from taxi_assets.settings import Settings


def compare_unfinished(settings: Settings, log: Callable[[str], None]) -> None:
    """Compare and mend the months that a crash may have left half written; keep its note if that fails."""
    since = state.crashed_since(settings.data_dir)
    if since is None:
        return
    os.environ.update(environment(settings))
    try:
        with lake_and_warehouses(Settings.from_environment()) as resources:
            lake, warehouses = resources["lake"], [resources[name] for name in WAREHOUSES]
            months = unfinished_months(lake, resources["bigquery"]) | months_of_runs(since)
            log(f"The last stack ended in a crash; {_plan(months)}.")
            left = [text for item in sorted(months) for text in mend(lake, warehouses, item, log)]
    except TaxiError as error:
        left = [str(error)]
    if left:
        log("\n".join([*left, "The next `taxi up` compares again."]))
    else:
        state.forget_crash(settings.data_dir)


def months_of_runs(since: float) -> set[Unfinished]:
    """Return the months of the runs since then that did not end in success."""
    found = set()
    # As Dagster's tables have it: in UTC, without a zone.
    after = datetime.fromtimestamp(since, UTC).replace(tzinfo=None)
    with dg.DagsterInstance.get() as instance:
        for record in instance.get_run_records(dg.RunsFilter(updated_after=after)):
            run = record.dagster_run
            if run.status is dg.DagsterRunStatus.SUCCESS:
                continue
            with suppress(SettingsError):
                month = parse_month(run.tags.get("dagster/partition", ""))
                found |= {Unfinished(name, month) for name in datasets_of(run) & DATASETS.keys()}
    return found


def _plan(months: set[Unfinished]) -> str:
    if not months:
        return "no month was being written"
    return f"comparing what was being written with the lake: {', '.join(map(str, sorted(months)))}"
