"""The data folder of the embedded PostgreSQL."""

import shutil
from pathlib import Path

import pytest

from taxi_assets.errors import ServiceError
from taxi_assets.local import postgres
from taxi_assets.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = Settings.from_environment({"TAXI_DATA_DIR": str(tmp_path / "data")})
    postgres.prepare(found)
    return found


def test_a_plain_copy_of_the_folder_is_mended(settings: Settings, tmp_path: Path) -> None:
    """PostgreSQL refuses to start where others have rights, which `cp -r` gives them."""
    copy = Settings.from_environment({"TAXI_DATA_DIR": str(tmp_path / "copy")})
    shutil.copytree(settings.data_dir, copy.data_dir)
    folder = postgres.data_folder(copy)
    folder.chmod(0o775)
    postgres.prepare(copy)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_another_version_is_named(settings: Settings) -> None:
    folder = postgres.data_folder(settings)
    (folder / "PG_VERSION").write_text("9\n")
    with pytest.raises(ServiceError, match=f"{folder} was made by PostgreSQL 9, this is .*TAXI_DATA_DIR"):
        postgres.prepare(settings)
