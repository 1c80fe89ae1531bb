"""Run config and metadata that the assets share."""

import dagster as dg
import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.assets.clean_parquet import CleanConfig
from taxi_assets.defs.assets.common import ForceConfig, LoadConfig
from taxi_assets.defs.assets.metadata import published_columns


@pytest.mark.parametrize("config", [LoadConfig, CleanConfig])
def test_the_deprecated_name_of_force_still_forces(config: type[ForceConfig]) -> None:
    assert not config().is_forced
    assert config(force=True).is_forced
    assert config(again=True).is_forced


def test_a_canonical_column_comes_from_all_its_published_names() -> None:
    found = published_columns(DATASETS["green"]).deps_by_column
    raw = dg.AssetKey(["green", "raw_file"])
    assert dg.TableColumnDep(raw, "lpep_pickup_datetime") in found["pickup_datetime"]
    assert "source_month" not in found
