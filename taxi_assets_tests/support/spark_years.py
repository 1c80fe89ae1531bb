"""Make several plans with one start of Spark: `python -m taxi_assets_tests.support.spark_years PLANS.json`."""

import json
import sys
from pathlib import Path

from pyspark.sql import SparkSession

from taxi_assets.spark import history


def main() -> None:
    stop = SparkSession.stop
    SparkSession.stop = lambda self: None  # type: ignore[method-assign]
    for plan in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        history.make(plan)
    stop(SparkSession.builder.getOrCreate())


if __name__ == "__main__":
    main()
