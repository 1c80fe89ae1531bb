"""`python -m taxi_assets.local.bigquery_emulator start ...`: bqemulator without a network, and quicker."""

import importlib.util
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import sqlglot
from bqemulator.cli import main  # type: ignore[import-untyped]


def install_spatial_extension(home: Path) -> None:
    """Put DuckDB's spatial extension, from its PyPI package, where the emulator looks before downloading it."""
    version = f"v{duckdb.__version__}"
    folder = home / ".duckdb" / "extensions"
    if any(folder.glob(f"{version}/*/spatial.duckdb_extension")):
        return
    spec = importlib.util.find_spec("duckdb_extension_spatial")
    packages = [Path(path) for path in (spec.submodule_search_locations or [])] if spec else []
    found = [file for path in packages for file in path.glob(f"extensions/{version}/spatial.duckdb_extension")]
    if not found:
        raise SystemExit(f"duckdb-extension-spatial for DuckDB {duckdb.__version__} is missing; run `make install`.")
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(config={"extension_directory": str(folder)}) as connection:
        quoted = str(found[0]).replace("'", "''")
        connection.execute(f"INSTALL '{quoted}'")


def parse_once() -> None:
    """Let sqlglot parse a statement once for all that the emulator asks of it.

    It asks some fifteen times, which took half of the marts' time there; a copy takes a tenth of a parse.
    """
    parse: Any = lru_cache(maxsize=16)(sqlglot.parse_one)

    def parse_one(sql: str, **options: Any) -> Any:
        # The emulator rewrites the tree.
        return parse(sql, **options).copy()

    sqlglot.parse_one = parse_one  # type: ignore[assignment]


if __name__ == "__main__":
    install_spatial_extension(Path.home())
    # It would download the Avro extension at every start, and nothing here is Avro.
    os.environ["BQEMU_ENABLE_FORMAT_EXTENSIONS"] = "false"
    parse_once()
    main()
