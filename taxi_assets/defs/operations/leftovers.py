"""What can be removed from each place, found by age, each with the call that removes it.

Nothing is found that a live run may use: of a dataset that a run works on, nothing at all. Nothing is found that
cannot be made again, and no run that recorded what is there now.
"""

import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import dagster as dg

from taxi_assets.contract.object_names import PENDING
from taxi_assets.defs.operations.active_runs import datasets_of, unfinished_runs
from taxi_assets.download.part_file import discard_part
from taxi_assets.resources.bigquery import BigQueryWarehouse
from taxi_assets.resources.lake import LakeResource
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets.resources.scratch import abandoned_folders, remove_abandoned
from taxi_assets.runtime.dagster_internals import BULK_ACTION_TERMINAL_STATUSES

# Deleting is slow; what is left comes the next day.
MAX_RUNS = 5000
PAGE = 500
_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dataclass(frozen=True)
class Leftover:
    """One thing to remove; `bytes` is 0 where the size is unknown."""

    kind: str
    name: str
    since: datetime
    bytes: int
    remove: Callable[[], None]


def busy_datasets(instance: dg.DagsterInstance) -> set[str]:
    """Return the datasets, and `zones`, that a run works on or waits to."""
    return {name for run in unfinished_runs(instance) for name in datasets_of(run)}


def old_runs(instance: dg.DagsterInstance, before: datetime) -> Iterator[Leftover]:
    """Yield finished runs with their events and logs, oldest first.

    Kept are the runs of the latest materialization of every asset and month, which Dagster would forget with them,
    the latest run of every job and month, which shows whether it failed, and those of backfills under way.
    """
    kept = _runs_of_latest_materializations(instance)
    going = {
        backfill.backfill_id
        for backfill in instance.get_backfills()
        if backfill.status not in BULK_ACTION_TERMINAL_STATUSES
    }
    seen: set[tuple[str, ...]] = set()
    # Newest first, so that the oldest are those that stay in it.
    old: deque[tuple[dg.DagsterRun, datetime]] = deque(maxlen=MAX_RUNS)
    for record in _finished_runs(instance):
        run = record.dagster_run
        about = (*sorted(datasets_of(run)), run.tags.get("dagster/partition", ""), run.job_name)
        is_latest = about not in seen
        seen.add(about)
        ended = record.update_timestamp.replace(tzinfo=UTC)
        if ended >= before or is_latest or run.run_id in kept or run.tags.get("dagster/backfill") in going:
            continue
        old.append((run, ended))
    for run, ended in reversed(old):
        folder = _log_folder(instance, run.run_id)
        size = _size(folder) if folder else 0
        name = f"{run.job_name} {run.tags.get('dagster/partition', '')} {run.run_id}"
        yield Leftover("runs", name, ended, size, partial(_remove_run, instance, run))


def old_compute_logs(instance: dg.DagsterInstance, before: datetime) -> Iterator[Leftover]:
    """Return the compute logs of finished runs on this machine; the runs themselves may stay."""
    root = _log_folder(instance, "")
    if root is None or not root.is_dir():
        return
    live = {run.run_id for run in unfinished_runs(instance)}
    for folder in sorted(root.glob("*/compute_logs")):
        run_id, since = folder.parent.name, _modified(folder)
        if run_id not in live and since < before:
            yield Leftover("compute logs", run_id, since, _size(folder), partial(_remove_logs, instance, run_id))


def staging_tables(
    bigquery: BigQueryWarehouse, postgres: PostgresWarehouse, busy: Set[str], before: datetime
) -> Iterator[Leftover]:
    """Yield staging tables of killed runs."""
    for name, made in bigquery.staging_tables().items():
        if made < before and not _is_of(name.rpartition(".")[2], busy):
            yield Leftover("BigQuery staging tables", name, made, 0, partial(bigquery.drop_staging_table, name))
    for name in postgres.staging_tables():
        if not _is_of(name, busy):
            now = datetime.now(UTC)
            yield Leftover("PostgreSQL staging tables", name, now, 0, partial(postgres.drop_staging_table, name))


def pending_objects(lake: LakeResource, busy: Set[str], before: datetime) -> Iterator[Leftover]:
    """Return cleaned months that were never published; `clean_parquet` makes them again."""
    for item in lake.list(PENDING):
        if item.updated < before and not _is_of(item.name, busy):
            yield Leftover("pending objects", item.name, item.updated, item.bytes, partial(lake.remove, item))


def work_folders(data_dir: Path, before: datetime) -> Iterator[Leftover]:
    """Yield scratch folders of killed processes."""
    for folder in abandoned_folders(data_dir / "tmp"):
        if (since := _modified(folder)) < before:
            yield Leftover("work folders", folder.name, since, _size(folder), partial(remove_abandoned, folder))


def cached_files(data_dir: Path, busy: Set[str], before: datetime) -> Iterator[Leftover]:
    """Yield cached files and parts of broken transfers that were not used lately."""
    cache = data_dir / "cache"
    for path in sorted(path for path in cache.rglob("*") if path.is_file()):
        name = str(path.relative_to(cache))
        found = path.stat()
        since = datetime.fromtimestamp(max(found.st_mtime, found.st_atime), UTC)
        if since < before and not _is_of(name, busy) and not name.endswith(".part.json"):
            yield Leftover("cached files", name, since, found.st_size, partial(_remove_cached, path))


def _finished_runs(instance: dg.DagsterInstance) -> Iterator[dg.RunRecord]:
    cursor = None
    while page := instance.get_run_records(dg.RunsFilter(statuses=_FINISHED), limit=PAGE, cursor=cursor):
        yield from page
        cursor = page[-1].dagster_run.run_id


def _runs_of_latest_materializations(instance: dg.DagsterInstance) -> set[str]:
    kept = set()
    for key in instance.all_asset_keys():
        by_month = instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
        kept |= _runs_of(instance, key, list(by_month.values()))
        # Of an asset without partitions.
        kept |= {record.run_id for record in instance.fetch_materializations(key, limit=1).records}
    return kept


def _runs_of(instance: dg.DagsterInstance, key: dg.AssetKey, storage_ids: list[int]) -> set[str]:
    if not storage_ids:
        return set()
    wanted = dg.AssetRecordsFilter(asset_key=key, storage_ids=storage_ids)
    return {record.run_id for record in instance.fetch_materializations(wanted, limit=len(storage_ids)).records}


def _log_folder(instance: dg.DagsterInstance, run_id: str) -> Path | None:
    """Return the folder of a run's logs, if it is on this machine."""
    locate = getattr(instance.compute_log_manager, "get_captured_local_path", None)
    # <root>/<run>/compute_logs/<step>.out; a manager that keeps logs in a cloud has no such path.
    return Path(locate([run_id or "_", "compute_logs", "_"], "out")).parents[1 if run_id else 2] if locate else None


def _remove_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    _remove_logs(instance, run.run_id)
    instance.delete_run(run.run_id)


def _remove_logs(instance: dg.DagsterInstance, run_id: str) -> None:
    instance.compute_log_manager.delete_logs(prefix=[run_id, "compute_logs"])
    folder = _log_folder(instance, run_id)
    if folder is not None and folder.is_dir() and not any(folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)


def _remove_cached(path: Path) -> None:
    if path.name.endswith(".part"):
        discard_part(path.parent, path.name.removesuffix(".part"))
    else:
        path.unlink(missing_ok=True)


def _is_of(name: str, datasets: Set[str]) -> bool:
    # Not split at underscores: a dataset's name may contain one.
    return any(re.search(rf"(?:^|[/_.]){re.escape(dataset)}(?:[/_.]|$)", name) for dataset in datasets)


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _size(folder: Path) -> int:
    return sum(os.lstat(path).st_size for path in folder.rglob("*") if path.is_file())


def days_ago(days: float) -> datetime:
    """Return the time that many days ago."""
    return datetime.now(UTC) - timedelta(days=days)
