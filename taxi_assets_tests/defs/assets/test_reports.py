"""The reports as assets: a month's page in the lake, its pictures in the metadata, the overview last of its parts."""

import base64
import json
import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import dagster as dg
import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.object_names import OVERVIEW_OBJECT, report_object
from taxi_assets.defs.assets.marts import manifests_of
from taxi_assets.defs.assets.reports import (
    MonthReport,
    answers_of,
    build_month_report,
    build_overview,
    facts_of,
    month_pages,
    postgres_marts,
)
from taxi_assets.defs.assets.zones import build_zones
from taxi_assets.errors import ServiceError
from taxi_assets.reports.pages import differences
from taxi_assets.reports.questions import Scope
from taxi_assets.sample.maker import SampleFiles
from taxi_assets.settings import Settings
from taxi_assets_tests.conftest import World, failure, instance, make_world
from taxi_assets_tests.contract.test_zone_shapes import packed_shapes
from taxi_assets_tests.support.automation import evaluate

GREEN, MARCH, HIRE = DATASETS["green"], date(2023, 3, 1), date(2025, 1, 1)
NO_RESOURCES = {"lake": None, "postgres": None}
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


@pytest.fixture(scope="module")
def filled(services: Settings, tlc: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a world with a real month of green, a sample month of fhvhv, the real zones, and their marts."""
    folder = tmp_path_factory.mktemp("reports")
    world = make_world(services, folder / "data")
    shapes = packed_shapes(tlc, folder)
    real = world.with_source(
        f"file://{tlc}/trips/{{dataset}}_tripdata_{{month}}.parquet",
        zones=f"file://{tlc}/zones/taxi_zone_lookup.csv",
        zone_shapes=f"file://{shapes}",
    )
    assert dg.materialize([build_zones()], resources=real.resources, run_config=QUIET, instance=instance()).success
    assert real.run("green", MARCH).success
    assert world.with_source("sample", sample=SampleFiles(), sample_rows=3000).run("fhvhv", HIRE).success
    marts = postgres_marts(world.lake, world.postgres)
    for dataset, month in ((GREEN, MARCH), (DATASETS["fhvhv"], HIRE)):
        marts.make_months(dataset, [month], manifests_of(world.lake, dataset, [month]))
    marts.make_views()
    return world


def materialize(world: World, asset: dg.AssetsDefinition, month: date | None = None) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [asset],
        resources=world.resources,
        partition_key=month.isoformat() if month else None,
        instance=instance(),
        run_config=QUIET,
        raise_on_error=False,
    )


class Tables(HTMLParser):
    """Reads the cells of the tables and the numbers of the tiles."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tiles: list[float] = []
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self._in_cell = True
            self.rows[-1].append("")
        if tag == "data":
            self.tiles.append(float(dict(attrs)["value"] or ""))

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag != "td"

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data


def page_of(world: World, name: str) -> str:
    return world.lake.fetch(name).read_text(encoding="utf-8")


def test_a_month_is_a_page_with_what_is_known_of_it_and_small_pictures(filled: World) -> None:
    result = materialize(filled, build_month_report(GREEN), MARCH)
    assert result.success, failure(result)
    [check] = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("numbers_are_the_marts", True)
    [made] = result.get_asset_materialization_events()
    pictures = {n: m.value for n, m in made.materialization.metadata.items() if "data:image/png" in str(m.value)}
    assert set(pictures) == {"trips_day", "zones", "hours", "flows", "travel", "speed", "cost", "quality"}
    for text in pictures.values():
        content = base64.b64decode(re.search(r"base64,([^)]+)\)", text)[1])  # type: ignore[index]
        assert content.startswith(b"\x89PNG")
        assert len(content) <= 100_000
    html = page_of(filled, report_object("green", MARCH))
    assert len(html.encode()) <= 3_000_000
    assert 'href="../index.html"' in html
    assert "Sample" not in html.split("<main>")[0]
    found = Tables()
    found.feed(html)
    # The numbers, counted from the trips and not from the marts.
    with filled.postgres.connect() as connection:
        trips = connection.execute("SELECT count(*) FROM taxi.green_trips").fetchone()[0]
        top = connection.execute(
            "SELECT z.zone, count(*) FROM taxi.green_trips t JOIN taxi.zones z ON z.location_id = pickup_location_id "
            "GROUP BY 1 ORDER BY 2 DESC LIMIT 6"
        ).fetchall()
        pickups = connection.execute("SELECT count(*) FROM taxi.green_trips WHERE pickup_location_id = 264").fetchone()[
            0
        ]
    assert found.tiles[0] == trips
    rows = {row[1]: row[2] for row in found.rows if len(row) == 5}
    assert [rows[name] for name, _ in top] == [f"{n:,}" for _, n in top]
    leaders = {
        "East Harlem North",
        "East Harlem South",
        "Central Harlem",
        "Morningside Heights",
        "Forest Hills",
        "Elmhurst",
    }
    assert len(leaders & {name for name, _ in top}) >= 5
    assert f"not on the map are {pickups:,} (" in html


def test_a_sample_says_on_every_chart_that_it_is_one(filled: World) -> None:
    result = materialize(filled, build_month_report(DATASETS["fhvhv"]), HIRE)
    assert result.success, failure(result)
    html = page_of(filled, report_object("fhvhv", HIRE))
    subtitles = re.findall(r'<p class="subtitle">(.*?)</p>', html)
    assert len(subtitles) >= 9
    assert [s for s in subtitles if "Sample data" not in s or "2025-01" not in s] == []
    assert 'class="sample"' in html
    alts = re.findall(r'role="img" aria-label="([^"]+)"', html)
    assert len(alts) == len(subtitles)
    assert min(map(len, alts)) > 40


def test_the_overview_names_parts_that_are_there_and_links_each_month(filled: World) -> None:
    MonthReport.read(filled.lake, postgres_marts(filled.lake, filled.postgres), GREEN, MARCH).publish(filled.lake)
    result = materialize(filled, build_overview())
    assert result.success, failure(result)
    assert [c.passed for c in result.get_asset_check_evaluations()] == [True]
    html = page_of(filled, OVERVIEW_OBJECT)
    parts = re.findall(r'href="(parts/[^"]+)"', html)
    assert len(parts) >= 9
    objects = {item.name: item for item in filled.lake.list("reports/")}
    assert {f"reports/{part}" for part in parts} <= set(objects)
    assert objects[OVERVIEW_OBJECT].updated >= max(objects[f"reports/{part}"].updated for part in parts)
    assert 'href="green/2023-03.html"' in html
    with filled.lake.get_bucket() as bucket:
        assert bucket.get_blob(OVERVIEW_OBJECT).content_type == "text/html"
        assert bucket.get_blob(OVERVIEW_OBJECT).cache_control == "no-cache"


def test_a_page_whose_numbers_are_others_fails_its_check(filled: World) -> None:
    marts = postgres_marts(filled.lake, filled.postgres)
    report = MonthReport.read(filled.lake, marts, GREEN, MARCH)
    html = report.page.html()
    assert differences(html, report.answers, html) == []
    wrong = html.replace(f'<data value="{read_tables(html).tiles[0]:.0f}"', '<data value="1"')
    assert differences(wrong, report.answers, html) == ["the page itself"]
    changed = {**report.answers, "totals": [{**report.answers["totals"][0], "trips": 1}]}
    assert differences(html, changed, html) == ["totals"]


def read_tables(html: str) -> Tables:
    found = Tables()
    found.feed(html)
    return found


def test_the_same_marts_give_the_same_page(filled: World) -> None:
    marts = postgres_marts(filled.lake, filled.postgres)
    pages = [MonthReport.read(filled.lake, marts, GREEN, MARCH) for _ in range(2)]
    assert pages[0].page.html() == pages[1].page.html()
    assert pages[0].made_of == pages[1].made_of
    pages[0].publish(filled.lake)
    assert pages[1].published(filled.lake)


def test_a_month_without_marts_has_a_page_that_says_so(filled: World) -> None:
    result = materialize(filled, build_month_report(GREEN), date(2021, 1, 1))
    assert result.success, failure(result)
    html = page_of(filled, report_object("green", date(2021, 1, 1)))
    assert "This month has no trips in the marts" in html
    assert json.loads(re.search(r'id="answers">(.*?)</script>', html)[1])  # type: ignore[index]


def test_the_overview_follows_the_months_and_each_month_its_marts() -> None:
    fact = dg.AssetKey(["marts", "postgres", "green", "fct_zone_hour"])
    home = dg.DagsterInstance.ephemeral()
    definitions = dg.Definitions([build_month_report(GREEN), build_overview()], resources=NO_RESOURCES)
    first = evaluate(definitions, home)
    assert first.total_requested == 0
    home.report_runless_asset_event(dg.AssetMaterialization(["green", "month_report"], partition=MARCH.isoformat()))
    second = evaluate(definitions, home, cursor=first.cursor)
    assert second.get_requested_partitions(dg.AssetKey(["reports", "overview"])) == {None}
    spec = next(iter(build_month_report(GREEN).specs))
    assert fact in {dep.asset_key for dep in spec.deps}


def test_foreign_objects_beside_the_pages_are_no_months(filled: World, tmp_path: Path) -> None:
    (tmp_path / "notes.html").write_text("mine")
    filled.lake.put(tmp_path / "notes.html", "reports/yellow/notes.html", {})
    assert month_pages(filled.lake)["yellow"] == []


def test_without_marts_the_error_says_what_to_do(world: World) -> None:
    with pytest.raises(ServiceError, match="materialize the group `marts`"):
        answers_of(postgres_marts(world.lake, world.postgres), Scope("green", MARCH))


def test_a_broken_card_of_a_model_is_a_sentence(world: World, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text("{")
    world.lake.put(tmp_path / "card.json", "models/green/2023-03/card.json", {})
    with pytest.raises(ServiceError, match="card that cannot be read; materialize green/duration_model of 2023-03"):
        facts_of(world.lake, {"green": [MARCH]})
