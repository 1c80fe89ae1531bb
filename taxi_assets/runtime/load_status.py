"""Read from Dagster's database which months of each dataset are loaded, for `taxi status`.

It uses SQL because importing Dagster takes seconds. It requests nothing from the source or a warehouse: a month is
loaded if it was materialized, and published if the latest reconciliation found it at the source.
"""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import psycopg

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.months import month_text, months_between, parse_month
from taxi_assets.runtime.names import month_job_name, reconciliation_key

TABLES = ("bigquery_table", "postgres_table")
PUBLISHED, LOADED, TO_REPAIR = "published_months", "loaded_months", "months_to_repair"
# Only the newest runs are searched for failed months; more than these exist only after years.
MAX_RUNS = 20_000

_MATERIALIZED = """
    SELECT e.asset_key, e.partition, max(e.timestamp)
    FROM event_logs e LEFT JOIN asset_keys k ON k.asset_key = e.asset_key
    WHERE e.dagster_event_type = 'ASSET_MATERIALIZATION' AND e.partition IS NOT NULL
      AND (k.wipe_timestamp IS NULL OR e.timestamp > k.wipe_timestamp)
    GROUP BY e.asset_key, e.partition
"""
# The dataset is that of the run's job. A run started from assets in the UI has no such job, but selects assets.
_LATEST_RUNS = """
    SELECT DISTINCT ON (dataset, month) dataset, month, status FROM (
        SELECT r.id, r.status, t.value AS month, COALESCE(
            %(datasets)s::json ->> r.pipeline_name,
            r.run_body::json #>> '{asset_selection,__frozenset__,0,path,0}') AS dataset
        FROM (SELECT * FROM runs ORDER BY id DESC LIMIT %(limit)s) r
        JOIN run_tags t ON t.run_id = r.run_id AND t.key = 'dagster/partition'
    ) found ORDER BY dataset, month, id DESC
"""
_LATEST_MATERIALIZATION = "SELECT last_materialization FROM asset_keys WHERE asset_key = %s"

# When a month of an asset was last materialized: by asset and month.
_Times = dict[str, dict[str, datetime]]


@dataclass(frozen=True)
class _Reconciliation:
    """The latest comparison of a dataset: its time in UTC, without a zone, and the months it listed."""

    at: datetime | None = None
    published: frozenset[str] = field(default_factory=frozenset)
    loaded: frozenset[str] = field(default_factory=frozenset)
    to_repair: frozenset[str] = field(default_factory=frozenset)


def read(url: str) -> dict[str, dict[str, Any]] | str:
    """Return a line for each dataset, or a few words that explain why there is none.

    In a line, months are written `YYYY-MM`. `missing` are those published and not loaded, as far as is known; `failed`
    those whose latest run failed; `behind` is the number of months from the newest loaded to the newest published one.

    Args:
        url: The address of Dagster's database as libpq reads it; empty if it is not set.
    """
    if not url:
        return "DAGSTER_POSTGRES_URL is not set"
    try:
        with psycopg.connect(url, connect_timeout=3, options="-c statement_timeout=5000 -c timezone=UTC") as connection:
            materialized = connection.execute(_MATERIALIZED).fetchall()
            by_job = json.dumps({month_job_name(name): name for name in DATASETS})
            runs = connection.execute(_LATEST_RUNS, {"datasets": by_job, "limit": MAX_RUNS}).fetchall()
            reconciliations = {
                name: connection.execute(_LATEST_MATERIALIZATION, [json.dumps(reconciliation_key(name))]).fetchone()
                for name in DATASETS
            }
    except psycopg.errors.UndefinedTable:
        return "Dagster has not run yet"
    except psycopg.OperationalError:
        return "Dagster's database does not answer"
    times: dict[str, _Times] = defaultdict(lambda: defaultdict(dict))
    for key, partition, at in materialized:
        dataset, asset = json.loads(key)[0], json.loads(key)[-1]
        times[dataset][asset][partition[:7]] = at
    failed: dict[str, list[str]] = defaultdict(list)
    for dataset, partition, status in runs:
        if status == "FAILURE":
            failed[dataset].append(partition[:7])
    return {name: _line(times[name], failed[name], _reconciliation(reconciliations[name])) for name in DATASETS}


def _line(times: _Times, failed: list[str], latest: _Reconciliation) -> dict[str, Any]:
    loaded = _loaded([times[name] for name in TABLES], latest)
    published = {month for asset in times.values() for month in asset} | loaded | latest.published
    newest_loaded, newest_published = max(loaded, default=None), max(published, default=None)
    behind = None
    if newest_loaded and newest_published:
        behind = months_between(parse_month(newest_loaded), parse_month(newest_published))
    return {
        "loaded": len(loaded),
        "missing": sorted(published - loaded),
        "failed": sorted(failed),
        "behind": behind,
        "newest_loaded": newest_loaded,
        "newest_published": newest_published,
        "reconciled_at": f"{latest.at:%Y-%m-%d %H:%M} UTC" if latest.at else None,
    }


def _loaded(tables: list[dict[str, datetime]], latest: _Reconciliation) -> set[str]:
    """Return the months in both tables, without those to repair that were not loaded since."""
    loaded = set(tables[0]) & set(tables[1]) | latest.loaded
    at = latest.at
    loaded_since = {month for table in tables for month, time in table.items() if at is not None and time > at}
    return loaded - (latest.to_repair - loaded_since)


def months_metadata(months: list[date]) -> str:
    """Return months as the reconciliation's metadata holds them, readable for users and for `read`."""
    return ", ".join(map(month_text, months)) or "none"


def _reconciliation(row: tuple[str | None] | None) -> _Reconciliation:
    """Return the reconciliation in a stored materialization; an empty one if there is none that can be read."""
    try:
        entry = json.loads((row or [None])[0] or "")["event_log_entry"]
        materialization = entry["dagster_event"]["event_specific_data"]["materialization"]
        texts = {item["label"]: item["entry_data"].get("text", "") for item in materialization["metadata_entries"]}
        at = datetime.fromtimestamp(entry["timestamp"], UTC).replace(tzinfo=None)
        months = [frozenset(texts[name].split(", ")) - {"none"} for name in (PUBLISHED, LOADED, TO_REPAIR)]
        return _Reconciliation(at, *months)
    except (ValueError, KeyError, TypeError):
        return _Reconciliation()
