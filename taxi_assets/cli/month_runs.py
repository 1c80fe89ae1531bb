"""Runs of a month's job in this process, with a report of its steps, for `taxi materialize` and `taxi demo`."""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg

from taxi_assets.cli.tables import table
from taxi_assets.contract.datasets import Dataset
from taxi_assets.defs.assets.common import published_month
from taxi_assets.defs.build import lake_and_warehouses
from taxi_assets.months import month_text
from taxi_assets.resources.warehouse import WAREHOUSES
from taxi_assets.runtime import run_process
from taxi_assets.runtime.names import month_job_name
from taxi_assets.settings import Settings

STEPS = ("raw_file", "clean_parquet", "gcs_object", "bigquery_table", "postgres_table")
HEADER = ("dataset", "month", "raw rows", "kept", "rejected", "BigQuery", "PostgreSQL", "seconds", "rejected by reason")
# Dagster prints each event otherwise.
_QUIET: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_FORCED = ("clean_parquet", "bigquery_table", "postgres_table")


@dataclass(frozen=True)
class MonthRun:
    """The end of a run: its seconds, and the reason of its failure, None if it succeeded."""

    dataset: Dataset
    month: date
    seconds: float
    failure: str | None

    @property
    def title(self) -> str:
        """Return dataset and month."""
        return f"{self.dataset.name} {month_text(self.month)}"


@dataclass(frozen=True)
class StepReport:
    """A step that ended, waits for its retry, or reports progress in a message."""

    step: str
    kind: str  # success, failure, retry or message
    text: str = ""
    seconds: float = 0.0


def run_month(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    item: Dataset,
    month: date,
    report: Callable[[StepReport], None],
    *,
    force: bool = False,
) -> MonthRun:
    """Run the month's job in this process; it is a run of Dagster's like any other.

    Raises:
        KeyboardInterrupt: Ctrl-C has canceled the run.
    """
    run_id = str(uuid.uuid4())
    failures: list[str] = []

    def listen(entry: dg.EventLogEntry) -> None:
        found = _as_report(entry, item.name)
        if found is not None and found.kind == "failure":
            failures.append(f"{found.step}: {found.text}")
        if found is not None:
            report(found)

    ops = {f"{item.name}__{name}": {"config": {"force": True}} for name in _FORCED} if force else {}
    instance.add_event_listener(run_id, listen)
    started = time.monotonic()
    try:
        definitions.resolve_job_def(month_job_name(item.name)).execute_in_process(
            run_config=_QUIET | ({"ops": ops} if ops else {}),
            partition_key=month.isoformat(),
            instance=instance,
            run_id=run_id,
            tags=run_process.tags(),
        )
    except dg.DagsterExecutionInterruptedError:
        raise KeyboardInterrupt from None
    except Exception:
        # What no step has reported is a defect.
        if not failures:
            raise
    return MonthRun(item, month, time.monotonic() - started, failures[0] if failures else None)


def _as_report(entry: dg.EventLogEntry, dataset: str) -> StepReport | None:
    event = entry.dagster_event
    if event is None:
        return StepReport("", "message", entry.user_message) if entry.user_message else None
    if event.step_key is None:
        return None
    step = event.step_key.removeprefix(f"{dataset}__")
    if event.event_type == dg.DagsterEventType.STEP_SUCCESS:
        return StepReport(step, "success", seconds=event.step_success_data.duration_ms / 1000)
    if event.event_type == dg.DagsterEventType.STEP_FAILURE and not _is_interrupt(event):
        return StepReport(step, "failure", _reason(event))
    if event.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY:
        return StepReport(step, "retry")
    return None


def _is_interrupt(event: dg.DagsterEvent) -> bool:
    error = event.step_failure_data.error
    return error is not None and error.cls_name == "DagsterExecutionInterruptedError"


def _reason(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    return data.error.message.strip() if data.error else "no reason was given"


def results_table(settings: Settings, runs: Sequence[MonthRun]) -> str:
    """Return a table of the months as the lake and the warehouses hold them now."""
    with lake_and_warehouses(settings) as resources:
        rows = [HEADER, *(_row(resources, run) for run in runs)]
    return table(rows, numbers=range(2, 8))


def _row(resources: dict[str, Any], run: MonthRun) -> tuple[str, ...]:
    _, manifest = published_month(resources["lake"], run.dataset, run.month)
    loaded = [resources[name].month_totals(run.dataset, run.month).rows for name in WAREHOUSES]
    counts = (manifest.raw_rows, manifest.kept.rows, manifest.rejected_rows, *loaded)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in manifest.rejected.items() if count)
    return (
        run.dataset.name,
        month_text(run.month),
        *(f"{number:,}" for number in counts),
        f"{run.seconds:.1f}",
        reasons,
    )
