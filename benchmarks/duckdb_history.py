"""Make the tables of a plan by DuckDB, as `taxi_assets/spark/history.py` makes them by Spark.

`python -m benchmarks.duckdb_history PLAN.json`; `conf` in the plan has DuckDB's settings.
"""

import json
import sys
from pathlib import Path
from typing import Any

import duckdb


def make(plan: dict[str, Any]) -> None:
    """Write each table of the plan as one Parquet file, in its order."""
    out = Path(plan["out"])
    with duckdb.connect(config=plan["conf"]) as connection:
        for name, view in plan["views"].items():
            schema = view["schema"].replace("`", "")
            files = f"SELECT * FROM read_parquet({view['files']})"
            connection.execute(f"CREATE VIEW {name} AS {files}" if view["files"] else f"CREATE TABLE {name} ({schema})")
        for name, table in plan["tables"].items():
            (out / name).mkdir(parents=True)
            connection.execute(
                f"COPY ({table['sql']} ORDER BY {', '.join(table['order'])}) TO '{out / name}/part.parquet' "
                "(FORMAT parquet, COMPRESSION snappy)"
            )


if __name__ == "__main__":
    make(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
