"""A run of a month's marts in a process of its own, whose dbt hangs at a statement."""

import multiprocessing
import sys
from datetime import date
from pathlib import Path

import dagster as dg

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.assets.marts import build_month_marts
from taxi_assets.defs.build import build_resources
from taxi_assets.marts import runner
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets.settings import Settings
from taxi_assets_tests.conftest import instance


def start_run(
    settings: Settings, postgres_url: str, warehouse: str, month: date, statement: int, reached: Path
) -> multiprocessing.process.BaseProcess:
    """Start the run; when dbt hangs, `reached` holds the number of its process."""
    arguments = (settings, postgres_url, warehouse, month, statement, reached)
    process = multiprocessing.get_context("spawn").Process(target=_run, args=arguments)
    process.start()
    return process


def _run(settings: Settings, postgres_url: str, warehouse: str, month: date, statement: int, reached: Path) -> None:
    runner.PROCESS = (sys.executable, "-m", "taxi_assets_tests.support.marts_process", str(statement), str(reached))
    dg.materialize(
        [build_month_marts(DATASETS["green"], warehouse)],
        partition_key=month.isoformat(),
        resources=build_resources(settings) | {"postgres": PostgresWarehouse(url=postgres_url)},
        instance=instance(),
        run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
    )
