"""The launchpad's options of a cleaning."""

import pytest

from taxi_assets.cleaning.options import ReadingOptions
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.assets import build_assets
from taxi_assets.defs.assets.clean_parquet import CleanConfig


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_dagster_takes_the_config(dataset: object) -> None:
    assert build_assets(dataset)  # type: ignore[arg-type]


def test_a_run_wins_over_the_settings() -> None:
    settings = ReadingOptions("as_wall_clock", "discard")
    assert CleanConfig().reading(settings) == settings
    run = CleanConfig.model_validate({"zoned_times": "convert", "unknown_columns": "freeze"})
    assert run.reading(settings) == ReadingOptions("convert", "freeze")
