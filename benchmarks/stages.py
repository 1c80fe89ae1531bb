"""The stages and their opponents, each a function of one file; every run is a process of its own."""

import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

MONTH = date(2021, 1, 1)
TIMES = ["tpep_pickup_datetime", "tpep_dropoff_datetime"]


def clean(source: Path, folder: Path) -> None:
    """This project: all rules on, kept and rejected rows written."""
    from taxi_assets.clean_file import clean_file
    from taxi_assets.datasets import dataset

    clean_file(source, dataset("yellow"), MONTH, folder)


def duckdb_copy(source: Path, folder: Path) -> None:
    """DuckDB's bare copy of the CSV to Parquet, nothing cleaned."""
    import duckdb

    target = folder / "duckdb.parquet"
    duckdb.sql(f"COPY (SELECT * FROM read_csv('{source}')) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")


def pandas_copy(source: Path, folder: Path) -> None:
    """The usual course's way: read_csv with dates, to_parquet with gzip."""
    import pandas as pd

    frame = pd.read_csv(source, parse_dates=TIMES, dtype={"store_and_fwd_flag": str})
    frame.to_parquet(folder / "pandas.parquet", compression="gzip")


def pyarrow_copy(source: Path, folder: Path) -> None:
    """pyarrow's read and write of the Parquet file, nothing cleaned."""
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(source), folder / "pyarrow.parquet", compression="zstd")


def postgres(source: Path, folder: Path) -> None:
    """This project: kept rows into PostgreSQL, audited and published; `folder` holds the server's URL."""
    from taxi_assets.datasets import dataset
    from taxi_assets.manifest import Manifest
    from taxi_assets.resources.postgres import PostgresWarehouse

    url = (folder / "url").read_text()
    PostgresWarehouse(url=url).replace_month(dataset("yellow"), MONTH, source, Manifest.of_file(source))


def server_copy(source: Path, folder: Path) -> None:
    """PostgreSQL's own COPY of the same rows from a CSV file on the server, into a plain table."""
    import psycopg

    with psycopg.connect((folder / "url").read_text()) as connection:
        connection.execute("DROP TABLE IF EXISTS plain")
        connection.execute("CREATE TABLE plain (LIKE taxi.yellow_trips)")
        connection.execute(f"COPY plain FROM '{source}' (FORMAT csv, HEADER)")  # type: ignore[arg-type]


def write_csv(source: Path, folder: Path) -> None:
    """The kept rows as the CSV that `server_copy` reads."""
    import pyarrow.csv as pc_csv
    import pyarrow.parquet as pq

    pc_csv.write_csv(pq.read_table(source), folder / "kept.csv", pc_csv.WriteOptions(quoting_style="none"))


STAGES: dict[str, Callable[[Path, Path], None]] = {
    stage.__name__: stage for stage in (clean, duckdb_copy, pandas_copy, pyarrow_copy, write_csv, postgres, server_copy)
}

if __name__ == "__main__":
    STAGES[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
