"""Runs that are killed at any moment, and runs of the same month or dataset at the same time: every row ends once."""

from collections.abc import Iterator
from datetime import date
from itertools import count

import pytest

from taxi_assets.settings import Settings
from taxi_assets_tests.conftest import World, make_world
from taxi_assets_tests.support.http_server import Fault, FileServer, serve
from taxi_assets_tests.support.month_process import Job, interrupted, killed, together
from taxi_assets_tests.support.points import Point
from taxi_assets_tests.support.versions import APRIL, MAY, Version, everywhere, held, version

PUT = "taxi_assets.resources.lake:LakeResource.put"
PROMOTE = "taxi_assets.resources.lake:LakeResource.promote"
BIGQUERY = "taxi_assets.resources.bigquery:BigQueryWarehouse"
POSTGRES = "taxi_assets.resources.postgres"
TO_LAKE = ("raw_file", "clean_parquet", "gcs_object")
TO_BIGQUERY, TO_POSTGRES = (*TO_LAKE, "bigquery_table"), (*TO_LAKE, "postgres_table")

# Where a run is killed, which assets it was to make, and what already is the new version then.
KILLS = {
    "in the download": (Point("taxi_assets.download.fetch:PartFile.write", after=True), TO_LAKE, ()),
    "before the archive": (Point(PUT), TO_LAKE, ()),
    "in the cleaning": (Point("taxi_assets.cleaning.clean_file:_count", 2), TO_LAKE, ()),
    "between the pending files": (Point(PUT, 2, after=True), TO_LAKE, ()),
    "between rejected and kept": (Point(PROMOTE, 1, after=True), TO_LAKE, ("rejected",)),
    "after publishing in the lake": (Point(PROMOTE, 2, after=True), TO_LAKE, ("rejected", "lake")),
    "after BigQuery's load": (Point(f"{BIGQUERY}._totals"), TO_BIGQUERY, ("rejected", "lake")),
    "after BigQuery's audit": (Point(f"{BIGQUERY}._publish"), TO_BIGQUERY, ("rejected", "lake")),
    "before BigQuery's clean-up": (
        Point(f"{BIGQUERY}._publish", after=True),
        TO_BIGQUERY,
        ("rejected", "lake", "bigquery"),
    ),
    "in PostgreSQL's COPY": (Point("psycopg:Copy.write", 2, after=True), TO_POSTGRES, ("rejected", "lake")),
    "before PostgreSQL's commit": (Point(f"{POSTGRES}_partition:_swap", after=True), TO_POSTGRES, ("rejected", "lake")),
    "after PostgreSQL's commit": (
        Point(f"{POSTGRES}:PostgresWarehouse.replace_month", after=True),
        TO_POSTGRES,
        ("rejected", "lake", "postgres"),
    ),
}


class Town:
    """A world whose source publishes new versions of its months, with two months published."""

    def __init__(self, world: World, server: FileServer) -> None:
        self.server = server
        self.templates = server.url("/green_{month}.csv.gz")
        self.world = world.with_source(self.templates)
        self._rows = count(300)
        for month in (APRIL, MAY):
            self.publish(month)
            assert self.world.run("green", month).success

    def publish(self, month: date = APRIL) -> Version:
        """Put a new version of the month at the source."""
        new = version(next(self._rows), month=month)
        self.server.put(f"green_{month:%Y-%m}.csv.gz", new.data)
        return new

    def job(self, month: date = APRIL, point: Point | None = None, names: tuple[str, ...] = ()) -> Job:
        return Job(self.world.settings, self.world.postgres_url, self.templates, month, names, point)


@pytest.fixture(scope="module")
def town(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    with serve(folder / "source") as server:
        yield Town(make_world(services, folder / "data"), server)


@pytest.mark.parametrize("moment", KILLS)
def test_a_killed_run_leaves_the_month_and_the_next_one_finishes(town: Town, moment: str):
    point, names, replaced = KILLS[moment]
    before, other = held(town.world), held(town.world, MAY)
    new = town.publish()
    if moment == "in the download":
        town.server.plan("/green_2020-04.csv.gz", Fault(hang_after=1000))
    killed(town.job(point=point, names=names))
    assert held(town.world) == before | {sink: everywhere(new)[sink] for sink in replaced}
    assert held(town.world, MAY) == other

    assert town.world.run("green", APRIL).success
    assert held(town.world) == everywhere(new)
    assert held(town.world, MAY) == other
    assert not town.world.leftovers()


def test_what_was_downloaded_before_a_kill_is_not_downloaded_again(town: Town):
    town.publish()
    town.server.plan("/green_2020-04.csv.gz", Fault(hang_after=1000))
    killed(town.job(point=KILLS["in the download"][0], names=TO_LAKE))
    result = town.world.run("green", APRIL, "raw_file")
    assert result.asset_materializations_for_node("green__raw_file")[0].metadata["resumed_bytes"].value == 1000


def test_half_a_cleaning_is_never_published(town: Town):
    before = held(town.world)
    new = town.publish()
    killed(town.job(point=KILLS["between the pending files"][0], names=TO_LAKE))
    result = town.world.run("green", APRIL, "gcs_object")
    [event] = result.get_step_failure_events()
    assert "of two cleanings" in str(event.step_failure_data)
    assert held(town.world) == before
    assert town.world.run("green", APRIL).success
    assert held(town.world) == everywhere(new)


MEETINGS = {
    "from the start": Point("taxi_assets.defs.assets.raw_file:newest_raw"),
    "with both pending": Point(PROMOTE),
    "with one published": Point(PROMOTE, 2),
    "with both staged in BigQuery": Point(f"{BIGQUERY}._publish"),
    "at PostgreSQL": Point(f"{POSTGRES}:PostgresWarehouse.replace_month"),
}


@pytest.mark.parametrize("meeting", MEETINGS)
def test_two_runs_of_a_month_at_once(town: Town, meeting: str):
    new = town.publish()
    together(*[town.job(point=MEETINGS[meeting])] * 2)
    assert held(town.world) == everywhere(new)
    assert not town.world.leftovers()


@pytest.mark.parametrize("meeting", ["with both staged in BigQuery", "at PostgreSQL"])
def test_two_months_at_once(town: Town, meeting: str):
    new = {month: town.publish(month) for month in (APRIL, MAY)}
    together(*(town.job(month, MEETINGS[meeting]) for month in new))
    assert {month: held(town.world, month) for month in new} == {m: everywhere(v) for m, v in new.items()}
    assert not town.world.leftovers()


def test_the_first_two_months_at_once(services: Settings, town: Town, tmp_path):
    """Neither finds a table, a schema or a folder."""
    world = make_world(services, tmp_path / "data")
    new = {month: town.publish(month) for month in (APRIL, MAY)}
    point = Point("taxi_assets.defs.assets.common:published_month")
    together(*(Job(world.settings, world.postgres_url, town.templates, month, (), point) for month in new))
    assert {month: held(world, month) for month in new} == {m: everywhere(v) for m, v in new.items()}
    assert not world.leftovers()


@pytest.mark.parametrize(
    "moment", ["in the download", "in the cleaning", "after BigQuery's load", "in PostgreSQL's COPY"]
)
def test_an_interrupted_run_ends_without_a_retry_and_publishes_nothing(town: Town, moment: str):
    point, names, replaced = KILLS[moment]
    before = held(town.world)
    new = town.publish()
    interrupted(town.job(point=point, names=names))
    after = held(town.world)
    assert {name: after[name] for name in after if name not in replaced} == {
        name: before[name] for name in before if name not in replaced
    }
    assert town.world.run("green", APRIL).success
    assert held(town.world) == everywhere(new)
    assert not town.world.leftovers()
