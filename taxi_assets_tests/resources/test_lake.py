"""Where objects lie on this machine, whatever the bucket calls them."""

from pathlib import Path

import pytest

from taxi_assets.errors import ServiceError
from taxi_assets.resources.lake import LakeResource


def lake(folder: Path) -> LakeResource:
    return LakeResource(project="taxi-local", bucket="a-bucket", data_dir=str(folder))


def test_objects_lie_under_their_names_in_the_cache(tmp_path: Path) -> None:
    assert lake(tmp_path).local_path("raw/green/a..b.csv") == tmp_path / "cache" / "raw" / "green" / "a..b.csv"


@pytest.mark.parametrize("name", ["raw/green/../../../etc/cron.d/x_2020-04.csv", "..", "/etc/passwd", "raw/\0.csv"])
def test_a_name_that_leads_out_of_the_cache_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ServiceError, match=r"gs://a-bucket holds an object named .*, which no asset makes; delete it"):
        lake(tmp_path).local_path(name)
