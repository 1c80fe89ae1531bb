"""How rows should lie: Parquet's groups, encodings, codec and order; PostgreSQL's indexes; BigQuery's clusters."""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import duckdb
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import race
from benchmarks.section import Section
from benchmarks.workbench import MONTH_ROWS, Workbench
from taxi_assets.cleaning.clean_file import ROW_GROUP_ROWS

ZONE, DAY = 132, "2021-01-15"
QUERIES = {
    "revenue by day": "SELECT CAST(pickup_datetime AS DATE) AS day, SUM(total_amount) FROM {} GROUP BY 1",
    "one zone": f"SELECT COUNT(*), AVG(fare_amount) FROM {{}} WHERE pickup_location_id = {ZONE}",
    "one day": "SELECT COUNT(*), SUM(total_amount) FROM {} "
    f"WHERE pickup_datetime >= TIMESTAMP '{DAY}' AND pickup_datetime < TIMESTAMP '{DAY}' + INTERVAL 1 DAY",
}
TIMES = ("pickup_datetime", "dropoff_datetime")
ZSTD: dict[str, Any] = {"compression": "zstd", "compression_level": 1}
INDEXES = {
    "no index": None,
    "BRIN (pickup_datetime)": "USING brin (pickup_datetime)",
    "B-tree (pickup_datetime)": "(pickup_datetime)",
    "B-tree (pickup_location_id)": "(pickup_location_id)",
}
CLUSTERS = (
    ("pickup_location_id", "pickup_datetime"),
    ("pickup_datetime",),
    ("pickup_location_id", "dropoff_location_id"),
    ("payment_type", "pickup_location_id"),
)
CLUSTER_BLOCK_ROWS = 20_000
HEADER = ("layout", "write s", "MB", *(f"{name}, ms" for name in QUERIES))


def layout(bench: Workbench, runs: int, say: Callable[[str], None]) -> Section:
    """Size, cost of writing, and time of three typical queries for each way to lay out a month."""
    race(("clean",), bench.sample(MONTH_ROWS, "csv.gz"), bench.folder, 1)
    table = pq.read_table(bench.folder / "kept.parquet")
    rows = [HEADER]
    for name, (ordered, group, options) in _variants(table).items():
        say(f"Parquet: {name} ...")
        rows.append((f"Parquet: {name}", *_parquet(bench, ordered, group, options, runs)))
    race(("postgres",), bench.folder / "kept.parquet", bench.folder, 1)
    for name, index in INDEXES.items():
        say(f"PostgreSQL: {name} ...")
        rows.append((f"PostgreSQL: {name}", *_postgres(bench, index, runs)))
    for keys in CLUSTERS:
        zone, day = _touched(table, keys)
        rows.append((f"BigQuery: clustered by {', '.join(keys)}", "", "", "all", zone, day))
    return Section(
        "Layout",
        rows,
        [
            f"Chosen: row groups of {ROW_GROUP_ROWS:,} rows in the file's order, zstd 1, times without dictionary, no "
            "index, clustered by pickup_location_id and pickup_datetime.",
            "Delta encoding is a little smaller, and left for readers that do not know it or read it slowly. An index "
            "on the time would make one day quick and the table an eighth larger; who asks so adds it.",
            "BigQuery's emulator does not cluster: its rows say which share of blocks of "
            f"{CLUSTER_BLOCK_ROWS:,} rows, sorted by those columns, a query must read.",
        ],
    )


def _variants(table: pa.Table) -> Mapping[str, tuple[pa.Table, int, dict[str, Any]]]:
    others = [name for name in table.schema.names if name not in TIMES]
    plain = ZSTD | {"use_dictionary": others}
    delta = plain | {"column_encoding": dict.fromkeys(TIMES, "DELTA_BINARY_PACKED")}
    by_time, by_zone = table.sort_by("pickup_datetime"), table.sort_by("pickup_location_id")
    return {
        "as chosen": (table, ROW_GROUP_ROWS, plain),
        "dictionary for times too": (table, ROW_GROUP_ROWS, ZSTD),
        "delta encoding for times": (table, ROW_GROUP_ROWS, delta),
        "row groups of 65,536": (table, 1 << 16, plain),
        "row groups of 1,048,576": (table, 1 << 20, plain),
        "zstd 3": (table, ROW_GROUP_ROWS, plain | {"compression_level": 3}),
        "snappy": (table, ROW_GROUP_ROWS, {"compression": "snappy", "use_dictionary": others}),
        "lz4": (table, ROW_GROUP_ROWS, {"compression": "lz4", "use_dictionary": others}),
        "sorted by pickup_datetime": (by_time, ROW_GROUP_ROWS, plain),
        "sorted by pickup_location_id": (by_zone, ROW_GROUP_ROWS, plain),
    }


def _parquet(bench: Workbench, table: pa.Table, group: int, options: dict[str, Any], runs: int) -> tuple[str, ...]:
    path = bench.folder / "layout.parquet"

    def write() -> None:
        pq.write_table(table, path, row_group_size=group, **options)

    seconds = _median(write, runs)
    texts = [query.format(f"'{path}'") for query in QUERIES.values()]
    times = [_median(partial(_fetch, duckdb.sql, text), runs) for text in texts]
    return f"{seconds:.2f}", f"{path.stat().st_size / 1e6:.1f}", *(f"{t * 1000:.0f}" for t in times)


def _postgres(bench: Workbench, index: str | None, runs: int) -> tuple[str, ...]:
    with psycopg.connect(bench.environ["TAXI_POSTGRES_URL"], autocommit=True) as connection:
        started = time.perf_counter()
        if index is not None:
            connection.execute(f"CREATE INDEX benchmark ON taxi.yellow_trips_2021_01 {index}")
        seconds = time.perf_counter() - started if index else 0.0
        [(size,)] = connection.execute("SELECT pg_total_relation_size('taxi.yellow_trips_2021_01')").fetchall()
        texts = [
            text.format("taxi.yellow_trips").replace("INTERVAL 1 DAY", "INTERVAL '1 day'") for text in QUERIES.values()
        ]
        times = [_median(partial(_fetch, connection.execute, text), runs) for text in texts]
        connection.execute("DROP INDEX IF EXISTS taxi.benchmark")
    return f"{seconds:.2f}", f"{size / 1e6:.1f}", *(f"{t * 1000:.0f}" for t in times)


def _touched(table: pa.Table, keys: tuple[str, ...]) -> tuple[str, str]:
    """Share of blocks that the two filtered queries must read when the rows are sorted by the keys."""
    ordered = table.sort_by([(key, "ascending") for key in keys])
    zones = ordered["pickup_location_id"].to_numpy()
    days = ordered["pickup_datetime"].to_numpy().astype("datetime64[D]")
    starts = range(0, len(zones), CLUSTER_BLOCK_ROWS)

    def share(values: Any, wanted: Any) -> str:
        blocks = [values[start : start + CLUSTER_BLOCK_ROWS] for start in starts]
        return f"{sum(block.min() <= wanted <= block.max() for block in blocks) / len(blocks):.0%}"

    return share(zones, ZONE), share(days, np.datetime64(DAY))


def _fetch(execute: Callable[[Any], Any], text: str) -> None:
    execute(text).fetchall()


def _median(action: Callable[[], object], runs: int) -> float:
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
