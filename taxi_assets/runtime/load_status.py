"""What Dagster's database tells of each dataset's months, for `taxi status`.

Read with SQL, because importing Dagster takes seconds, and without asking the source or a warehouse: what is
loaded is what was materialized last, and what is published is what the latest reconciliation saw.
"""

import json
import os
from collections import defaultdict
from datetime import UTC, date, datetime
from typing import Any

import psycopg

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.local.environment import environment, psycopg_url
from taxi_assets.months import month_text, months_between, parse_month
from taxi_assets.settings import Settings

TABLES = ("bigquery_table", "postgres_table")
PUBLISHED, LOADED, TO_REPAIR = "published_months", "loaded_months", "months_to_repair"
# The newest runs, which tell of failed months; there are more only after years.
RUNS = 20_000

_MATERIALIZED = """
    SELECT e.asset_key, e.partition, max(e.timestamp)
    FROM event_logs e LEFT JOIN asset_keys k ON k.asset_key = e.asset_key
    WHERE e.dagster_event_type = 'ASSET_MATERIALIZATION' AND e.partition IS NOT NULL
      AND (k.wipe_timestamp IS NULL OR e.timestamp > k.wipe_timestamp)
    GROUP BY e.asset_key, e.partition
"""
# A run of the UI's has no job of its own, but says which assets it takes.
_LATEST_RUNS = """
    SELECT DISTINCT ON (dataset, month) dataset, month, status FROM (
        SELECT r.id, r.status, t.value AS month, CASE
            WHEN r.pipeline_name LIKE '%%\\_month\\_job' THEN split_part(r.pipeline_name, '_', 1)
            ELSE r.run_body::json #>> '{asset_selection,__frozenset__,0,path,0}' END AS dataset
        FROM (SELECT * FROM runs ORDER BY id DESC LIMIT %s) r
        JOIN run_tags t ON t.run_id = r.run_id AND t.key = 'dagster/partition'
    ) found ORDER BY dataset, month, id DESC
"""
_LAST_SEEN = "SELECT last_materialization FROM asset_keys WHERE asset_key = %s"


def reconciliation_key(dataset: str) -> list[str]:
    """Key of the asset that compares the places of a dataset."""
    return ["operations", f"{dataset}_reconciliation"]


def read(settings: Settings) -> dict[str, dict[str, Any]] | str:
    """A line per dataset, or in a few words why there is none.

    Months are `YYYY-MM`. `missing` are published and not loaded, as far as is known; `failed` those whose latest
    run failed; `behind` is the number of months from the newest loaded one to the newest published one.
    """
    url = environment(settings).get("DAGSTER_POSTGRES_URL") or os.environ.get("DAGSTER_POSTGRES_URL")
    if not url:
        return "DAGSTER_POSTGRES_URL is not set"
    try:
        with psycopg.connect(
            psycopg_url(url), connect_timeout=3, options="-c statement_timeout=5000 -c timezone=UTC"
        ) as connection:
            materialized = connection.execute(_MATERIALIZED).fetchall()
            runs = connection.execute(_LATEST_RUNS, [RUNS]).fetchall()
            seen = {
                name: connection.execute(_LAST_SEEN, [json.dumps(reconciliation_key(name))]).fetchone()
                for name in DATASETS
            }
    except psycopg.errors.UndefinedTable:
        return "Dagster has not run yet"
    except psycopg.OperationalError:
        return "Dagster's database does not answer"
    months: dict[str, dict[str, dict[str, datetime]]] = defaultdict(lambda: defaultdict(dict))
    for key, partition, at in materialized:
        dataset, asset = json.loads(key)[0], json.loads(key)[-1]
        months[dataset][asset][partition[:7]] = at
    failed: dict[str, list[str]] = defaultdict(list)
    for dataset, partition, status in runs:
        if status == "FAILURE":
            failed[dataset].append(partition[:7])
    return {name: _line(months[name], failed[name], _said(seen[name])) for name in DATASETS}


def _line(
    months: dict[str, dict[str, datetime]], failed: list[str], said: tuple[datetime, dict[str, list[str]]] | None
) -> dict[str, Any]:
    at, seen = said or (None, {})
    tables = [months[name] for name in TABLES]
    loaded = set(tables[0]) & set(tables[1]) | set(seen.get(LOADED, []))
    # What the reconciliation missed counts as loaded only if something loaded it since.
    for month in seen.get(TO_REPAIR, []):
        if at is not None and not any(month in table and table[month] > at for table in tables):
            loaded.discard(month)
    published = {month for asset in months.values() for month in asset} | loaded | set(seen.get(PUBLISHED, []))
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
        "reconciled_at": f"{at:%Y-%m-%d %H:%M} UTC" if at else None,
    }


def months_metadata(months: list[date]) -> str:
    """Months as the reconciliation keeps them in its metadata, readable by people and by this module."""
    return ", ".join(map(month_text, months)) or "none"


def _said(row: tuple[str | None] | None) -> tuple[datetime, dict[str, list[str]]] | None:
    """When a reconciliation was recorded, and the lists of months in its metadata."""
    try:
        entry = json.loads((row or [None])[0] or "")["event_log_entry"]
        materialization = entry["dagster_event"]["event_specific_data"]["materialization"]
        texts = {item["label"]: item["entry_data"].get("text", "") for item in materialization["metadata_entries"]}
        lists = {
            name: [month for month in texts[name].split(", ") if month != "none"]
            for name in (PUBLISHED, LOADED, TO_REPAIR)
        }
        return datetime.fromtimestamp(entry["timestamp"], UTC).replace(tzinfo=None), lists
    except (ValueError, KeyError, TypeError):
        return None
