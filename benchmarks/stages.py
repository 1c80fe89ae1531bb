"""The stages and their opponents. Each is a generator: what stands before its `yield` is set-up and is not timed.

`python -m benchmarks.stages STAGE SOURCE FOLDER RESULT` runs one and writes its seconds into the file RESULT.
"""

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any


def _published(source: Path) -> Any:
    """Dataset and month of a file by its published name."""
    from taxi_assets.contract.datasets import dataset
    from taxi_assets.months import parse_month

    [(name, month)] = re.findall(r"^(\w+)_tripdata_(\d{4}-\d{2})\.", source.name)
    return dataset(name), parse_month(month)


def _services(folder: Path) -> dict[str, Any]:
    """Return the project's resources for the services whose environment `folder/environment` holds."""
    import json
    import os

    from taxi_assets.defs.build import build_resources
    from taxi_assets.settings import Settings

    os.environ.update(json.loads((folder / "environment").read_text()))
    resources = build_resources(Settings.from_environment())
    from taxi_assets.resources.postgres import PostgresWarehouse

    return resources | {"postgres": PostgresWarehouse(url=os.environ["TAXI_POSTGRES_URL"])}


def clean(source: Path, folder: Path) -> Iterator[None]:
    """This project: all rules on, kept and rejected rows"""
    import pyarrow as pa

    from taxi_assets.cleaning.clean_file import clean_file

    dataset, month = _published(source)
    pa.array([0])  # the first array looks for pandas, a quarter of a second; a Dagster process has it by then
    yield
    clean_file(source, dataset, month, folder)


def duckdb_copy(source: Path, folder: Path) -> Iterator[None]:
    """DuckDB: COPY to Parquet, zstd, nothing cleaned"""
    import duckdb

    target = folder / "duckdb.parquet"
    yield
    duckdb.sql(f"COPY (SELECT * FROM read_csv('{source}')) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")


def pandas_copy(source: Path, folder: Path) -> Iterator[None]:
    """pandas: read_csv with dates, to_parquet gzip"""
    import pandas as pd
    import pyarrow.parquet  # noqa: F401

    prefix = "tpep" if source.name.startswith("yellow") else "lpep"
    times = [f"{prefix}_pickup_datetime", f"{prefix}_dropoff_datetime"]
    yield
    frame = pd.read_csv(source, parse_dates=times, dtype={"store_and_fwd_flag": str})
    frame.to_parquet(folder / "pandas.parquet", compression="gzip")


def pyarrow_copy(source: Path, folder: Path) -> Iterator[None]:
    """pyarrow: read and write, zstd, nothing cleaned"""
    import pyarrow.parquet as pq

    yield
    pq.write_table(pq.read_table(source), folder / "pyarrow.parquet", compression="zstd")


def postgres(source: Path, folder: Path) -> Iterator[None]:
    """This project: loaded, audited, published"""
    from taxi_assets.contract.datasets import dataset
    from taxi_assets.contract.manifest import Manifest
    from taxi_assets.resources.lake import LakeFile

    warehouse = _services(folder)["postgres"]
    manifest = Manifest.of_file(source)
    yield
    warehouse.replace_month(
        dataset(manifest.dataset), manifest.month, LakeFile("", lambda: nullcontext(source)), manifest
    )


def server_copy(source: Path, folder: Path) -> Iterator[None]:
    """PostgreSQL: COPY from a CSV on the server into a plain table"""
    import psycopg
    from psycopg import sql

    from taxi_assets.contract.manifest import Manifest

    url, manifest = _url(folder), Manifest.of_file(source)
    table = sql.Identifier("taxi", f"{manifest.dataset}_trips")
    yield
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS plain")
        connection.execute(sql.SQL("CREATE TABLE plain (LIKE {})").format(table))
        file = sql.Literal(str(source.with_suffix(".csv")))
        connection.execute(sql.SQL("COPY plain FROM {} (FORMAT csv, HEADER)").format(file))


def pandas_to_sql(source: Path, folder: Path) -> Iterator[None]:
    """pandas: to_sql in chunks of 100,000 rows"""
    import pandas as pd
    import sqlalchemy

    engine = sqlalchemy.create_engine(_url(folder).replace("postgresql://", "postgresql+psycopg2://"))
    frame = pd.read_parquet(source)
    yield
    frame.to_sql("pandas_trips", engine, if_exists="replace", index=False, chunksize=100_000)


def dlt_pipeline(source: Path, folder: Path) -> Iterator[None]:
    """dlt: a resource of Arrow batches, write_disposition replace"""
    import os

    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import dlt
    import pyarrow.parquet as pq

    # dlt insists on a host and a password, and libpq takes the socket from the query.
    url = _url(folder).replace("postgres@/", "postgres:none@localhost:5432/").replace("&port=5432", "")
    pipeline = dlt.pipeline(
        "bench",
        destination=dlt.destinations.postgres(url),
        dataset_name="dlt_trips",
        pipelines_dir=str(folder / "dlt"),
    )
    rows = dlt.resource(pq.ParquetFile(source).iter_batches(1 << 16), name="trips")
    yield
    pipeline.run(rows, write_disposition="replace")


def fetch(source: Path, folder: Path) -> Iterator[None]:
    """Fetch the file: copied, checked, fingerprinted"""
    from taxi_assets.download.fetch import download

    target = folder / "fetched"
    yield
    download(source.as_uri(), target)


def archive(source: Path, folder: Path) -> Iterator[None]:
    """Upload a file of that size into the lake"""
    lake = _services(folder)["lake"]
    yield
    lake.put(source, f"benchmark/{time.time_ns()}", {})


def bigquery(source: Path, folder: Path) -> Iterator[None]:
    """This project: loaded into BigQuery's emulator, audited, published"""
    from taxi_assets.contract.datasets import dataset
    from taxi_assets.contract.manifest import Manifest

    services = _services(folder)
    kept = services["lake"].put(source, "benchmark/kept.parquet", {})
    manifest = Manifest.of_file(source)
    yield
    services["bigquery"].replace_month(dataset(manifest.dataset), manifest.month, services["lake"].file(kept), manifest)


def duration_model(source: Path, folder: Path) -> Iterator[None]:
    """Draw from a month of 24 million rows and six small ones, fit, choose, score three months ahead, store"""
    from taxi_assets.models import store
    from taxi_assets.models.backtest import train
    from taxi_assets.models.places import known_places
    from taxi_assets.models.trips import read_sample, trips_of
    from taxi_assets.months import parse_month

    store.libraries()
    months = {parse_month(path.name): path / "kept.parquet" for path in source.iterdir()}
    yield
    drawn = {month: trips_of(read_sample(path, month)) for month, path in sorted(months.items())}
    (folder / "model.skops").write_bytes(store.to_bytes(train(drawn, max(drawn), known_places()), "yellow"))


def _url(folder: Path) -> str:
    import json

    return str(json.loads((folder / "environment").read_text())["TAXI_POSTGRES_URL"])


STAGES: dict[str, Callable[[Path, Path], Iterator[None]]] = {
    stage.__name__: stage
    for stage in (
        clean,
        duckdb_copy,
        pandas_copy,
        pyarrow_copy,
        postgres,
        server_copy,
        pandas_to_sql,
        dlt_pipeline,
        fetch,
        archive,
        bigquery,
        duration_model,
    )
}


def title(stage: str) -> str:
    """Return the title of the stage, for tables."""
    return (STAGES[stage].__doc__ or "").strip()


if __name__ == "__main__":
    stage = STAGES[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
    next(stage)
    started = time.perf_counter()
    next(stage, None)
    Path(sys.argv[4]).write_text(str(time.perf_counter() - started))
