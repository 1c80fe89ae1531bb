"""Make the tables of a dataset's year from its clean files, by Spark 3.5 or later: on a laptop or on a cluster.

A plain script, which imports nothing of the package: all that it has to know is its plan, as JSON, from Dagster Pipes
or from a file (`spark-submit history.py --plan plan.json`). See plan.py for what a plan is.

It ends with a message that has the rows of each table. Without that message a step must fail, whatever the script's
exit code or the state of the job is: the driver may have died.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.functions import broadcast

# Of Spark's own reasons, the first lines; what follows is the plan of the query and Java's stack.
REASON_LENGTH = 600


def make(plan: dict[str, Any]) -> dict[str, Any]:
    """Write each table of the plan as one Parquet file, and return what was made."""
    builder: SparkSession.Builder = SparkSession.builder.appName(plan["name"])
    for name, value in plan["conf"].items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    try:
        for name, view in plan["views"].items():
            # An explicit schema: without one, Spark takes it from one file, or reads all of them to merge theirs.
            reader, files = spark.read.schema(view["schema"]), view["files"]
            found = reader.parquet(*files) if files else spark.createDataFrame([], view["schema"])
            # Spark does not know how small an empty table is. Joined by a shuffle, all trips without a key, which are
            # those of most years, would go to one task.
            (broadcast(found) if view["small"] else found).createOrReplaceTempView(name)
        started = time.monotonic()
        rows = {name: write(spark, table, f"{plan['out']}/{name}") for name, table in plan["tables"].items()}
        return {"rows": rows, "spark": spark.version, "seconds": round(time.monotonic() - started, 1)}
    finally:
        spark.stop()


def write(spark: SparkSession, table: dict[str, Any], folder: str) -> int:
    """Write a table's rows in their order as one file of the folder, and return how many are in it."""
    made = spark.sql(table["sql"]).repartition(1).sortWithinPartitions(*table["order"])
    made.write.parquet(folder)
    rows: int = spark.read.parquet(folder).count()
    return rows


def reason(error: Exception) -> str:
    """Return what an error says, without Java's stack."""
    text = str(error).split("\n\tat ")[0].split("JVM stacktrace:")[0]
    return " ".join(text.split())[:REASON_LENGTH] or type(error).__name__


def pipes() -> Any:
    """Return the connection to Dagster: by arguments and the bucket on a cluster, by files on one machine."""
    from dagster_pipes import (
        PipesCliArgsParamsLoader,
        PipesGCSContextLoader,
        PipesGCSMessageWriter,
        open_dagster_pipes,
    )

    if not any(argument.startswith("--dagster-pipes") for argument in sys.argv[1:]):
        return open_dagster_pipes()
    from google.cloud.storage import Client

    client = Client()
    return open_dagster_pipes(
        params_loader=PipesCliArgsParamsLoader(),  # type: ignore[no-untyped-call]
        context_loader=PipesGCSContextLoader(client),
        message_writer=PipesGCSMessageWriter(client),
    )


def main() -> int:
    """Make the plan that Dagster gives, or that of the file that is named; return the exit code."""
    if sys.argv[1:2] == ["--plan"]:
        print(json.dumps(make(json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))))
        return 0
    with pipes() as context:
        try:
            made = make(context.extras)
        except Exception as error:
            context.log.error(f"Spark: {reason(error)}")
            raise
        context.report_custom_message(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
