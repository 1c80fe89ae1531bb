"""The months that a crash of the emulators left half written are found and mended, or named with what to run."""

from datetime import date
from pathlib import Path

import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.object_names import PENDING, clean_object
from taxi_assets.reconcile.unfinished import Unfinished, mend, unfinished_months
from taxi_assets.settings import Settings
from taxi_assets_tests.conftest import World, make_world

GREEN = DATASETS["green"]
MONTH = date(2020, 4, 1)
ITEM = Unfinished("green", MONTH)


@pytest.fixture(scope="module")
def filled(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> World:
    world = make_world(services, tmp_path_factory.mktemp("unfinished"))
    assert world.run("green", MONTH).success
    return world


def delete_in_bigquery(world: World) -> None:
    """Leave the month as the emulator does if it is killed between the DELETE and the INSERT of a script."""
    with world.bigquery.get_client() as client:
        client.query_and_wait(f"DELETE FROM `{world.bigquery.table(GREEN)}` WHERE source_month = '{MONTH}'")
        client.create_table(f"{world.bigquery.table(GREEN)}__staging_202004_{10**18}_00000000")


def overwrite(services: Settings, world: World, name: str) -> None:
    """Give an object other bytes than its checksum says, as the emulator does if it is killed in between."""
    [stored] = (services.data_dir / "gcs" / ".cloudstorage").rglob(f"{world.settings.gcs_bucket}/{name}")
    stored.write_bytes(b"x" + stored.read_bytes()[1:])


def mended(world: World) -> tuple[list[str], list[str]]:
    log: list[str] = []
    return mend(world.lake, [world.bigquery, world.postgres], ITEM, log.append), log


def test_rows_that_are_missing_are_loaded_again(filled: World):
    assert unfinished_months(filled.lake, filled.bigquery) == set()
    before = filled.totals("green", MONTH)
    delete_in_bigquery(filled)
    assert unfinished_months(filled.lake, filled.bigquery) == {ITEM}
    left, log = mended(filled)
    assert left == []
    assert log == [
        f"green 2020-04 in BigQuery: found rows 0, expected rows {before['lake'].rows:,}; loaded again from the lake."
    ]
    assert filled.totals("green", MONTH) == before
    assert unfinished_months(filled.lake, filled.bigquery) == set()
    assert mended(filled) == ([], ["green 2020-04 is the same in all places."])


def test_pending_objects_name_their_months(filled: World, tmp_path: Path):
    (tmp_path / "file").write_bytes(b"pending")
    names = [PENDING + clean_object("green", date(2020, 5, 1)), "pending/other/note.txt"]
    for name in names:
        filled.lake.put(tmp_path / "file", name, {})
    assert unfinished_months(filled.lake, filled.bigquery) == {Unfinished("green", date(2020, 5, 1))}
    for name in names:
        filled.lake.remove(filled.lake.find(name))


def test_an_object_with_other_bytes_is_stored_again_from_its_copy_or_named(services: Settings, filled: World):
    name = clean_object("green", MONTH)
    before = filled.totals("green", MONTH)
    overwrite(services, filled, name)
    left, log = mended(filled)
    uri = f"gs://{filled.settings.gcs_bucket}/{name}"
    assert (left, log[0]) == ([], f"{uri} has other bytes than its checksum says; stored again from its copy.")
    assert filled.totals("green", MONTH) == before

    overwrite(services, filled, name)
    filled.lake.local_path(name).unlink()
    left, log = mended(filled)
    assert (left, log) == (
        [
            f"{uri} has other bytes than its checksum says, and there is no copy of it; "
            "run `taxi materialize green 2020-04 --force`."
        ],
        [],
    )
    assert filled.run("green", MONTH, run_config={"ops": {"green__clean_parquet": {"config": {"force": True}}}}).success
    assert mended(filled)[0] == []
    assert filled.totals("green", MONTH) == before
