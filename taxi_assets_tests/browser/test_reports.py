"""The pages of reports in a real browser without a network, in light and dark, in grey and on a phone.

`SCREENSHOTS=docs/images .venv/bin/python -m pytest taxi_assets_tests/browser/test_reports.py` makes the docs' pictures.
"""

from collections.abc import Iterator
from datetime import date
from importlib.resources import files
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from taxi_assets.cli.report import write_pages
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.assets.marts import manifests_of
from taxi_assets.defs.assets.reports import postgres_marts
from taxi_assets.defs.assets.zones import build_zones
from taxi_assets.sample.maker import SampleFiles
from taxi_assets.settings import Settings
from taxi_assets_tests.conftest import instance, make_world
from taxi_assets_tests.contract.test_zone_shapes import packed_shapes
from taxi_assets_tests.support.waiting import HANG_SECONDS

GREEN = [date(2020, 4, 1), date(2023, 6, 1)]
HIRE = [date(2024, 12, 1), date(2025, 1, 1)]
EMPTY = date(2021, 1, 1)
# The browser has an event loop in this thread, which Dagster takes for its own at the end of a run.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .*shutdown_asyncgens")
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
# A phone's, a laptop's.
NARROW, WIDE = 360, 1100


@pytest.fixture(scope="module")
def site(services: Settings, tlc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the site of real months of green, two sample months of fhvhv, and a month without trips."""
    folder = tmp_path_factory.mktemp("site")
    world = make_world(services, folder / "data")
    trips = f"file://{tlc}/trips/{{dataset}}_tripdata_{{month}}"
    real = world.with_source(
        f"{trips}.csv.gz,{trips}.parquet",
        zones=f"file://{tlc}/zones/taxi_zone_lookup.csv",
        zone_shapes=f"file://{packed_shapes(tlc, folder)}",
    )
    assert dg.materialize([build_zones()], resources=real.resources, run_config=QUIET, instance=instance()).success
    made_up = world.with_source("sample", sample=SampleFiles(), sample_rows=8000)
    for month in GREEN:
        assert real.run("green", month, "raw_file", "clean_parquet", "gcs_object", "postgres_table").success
    for month in HIRE:
        assert made_up.run("fhvhv", month, "raw_file", "clean_parquet", "gcs_object", "postgres_table").success
    marts = postgres_marts(world.lake, world.postgres)
    months = {"green": GREEN, "fhvhv": HIRE}
    for name, of_dataset in months.items():
        marts.make_months(DATASETS[name], of_dataset, manifests_of(world.lake, DATASETS[name], of_dataset))
    marts.make_views()
    write_pages(world.lake, marts, {"green": [GREEN[-1], EMPTY], "fhvhv": HIRE[-1:]}, folder / "out", print)
    return folder / "out"


@pytest.fixture
def opened(site: Path, browser: Browser) -> Iterator[Any]:
    """Return a function that opens a page of the site as a file, without a network, and wants no error there."""
    contexts, errors, requests = [], [], []

    def open_page(name: str, *, width: int = WIDE, scheme: Any = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(HANG_SECONDS * 1000)
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((site / name).as_uri())
        page.wait_for_selector("html[data-drawn]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
    assert [url for url in requests if not url.startswith(("file://", "data:"))] == []


def screenshot(page: Page, path: Path, height: int) -> None:
    """Keep the upper part of a page."""
    page.screenshot(path=path, clip={"x": 0, "y": 0, "width": WIDE, "height": height}, full_page=True)


PAGES = ("index.html", "green/2023-06.html", "fhvhv/2025-01.html")


@pytest.mark.parametrize(("name", "scheme"), [*((name, "light") for name in PAGES), (PAGES[-1], "dark")])
def test_every_chart_draws_and_axe_finds_nothing(opened: Any, name: str, scheme: str, pictures: Path | None) -> None:
    page = opened(name, scheme=scheme)
    views = page.evaluate("[...document.querySelectorAll('.view')].map(v => v.querySelectorAll('svg path').length)")
    assert len(views) >= 10
    assert min(views) > 0
    # All that can be opened is, so that it is looked at, too.
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.add_script_tag(content=files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    # What charts are drawn with is hidden from screen readers, which get the text of the figure.
    assert page.evaluate("[...document.querySelectorAll('.view')].every(v => v.ariaHidden === 'true')")
    found = page.evaluate("axe.run({exclude: [['.view svg']]})")
    assert [(v["id"], v["nodes"][0]["html"], v["nodes"][0]["failureSummary"]) for v in found["violations"]] == []
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = false)")
    if pictures and scheme == "light" and name == "green/2023-06.html":
        page.screenshot(
            path=pictures / "report.png", clip={"x": 0, "y": 0, "width": WIDE, "height": 1650}, full_page=True
        )
    if pictures and scheme == "dark" and name == "fhvhv/2025-01.html":
        page.screenshot(
            path=pictures / "report-dark.png", clip={"x": 0, "y": 0, "width": WIDE, "height": 1500}, full_page=True
        )


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_shows_all_without_scrolling_sideways(opened: Any, name: str) -> None:
    page = opened(name, width=NARROW)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW
    widths = page.evaluate("[...document.querySelectorAll('.view svg')].map(s => s.getBoundingClientRect().right)")
    assert max(widths) <= NARROW


def test_lines_of_services_differ_without_their_colours(opened: Any) -> None:
    page = opened("fhvhv/2025-01.html")
    dashes = page.evaluate(
        "[...document.querySelectorAll('#trips_day-0 .mark-line path')].map(p => p.getAttribute('stroke-dasharray'))"
    )
    assert len(dashes) == 2
    assert len(set(dashes)) == 2
    texts = page.evaluate("[...document.querySelectorAll('#trips_day-0 .mark-text text')].map(t => t.textContent)")
    assert {"Uber", "Lyft"} <= set(texts)


@pytest.mark.parametrize("sight", ["achromatopsia", "deuteranopia"])
@pytest.mark.parametrize("name", PAGES)
def test_steps_of_maps_differ_in_lightness_for_eyes_that_see_other_colours(
    opened: Any, name: str, sight: str, pictures: Path | None
) -> None:
    """What the browser paints then, of each entry of a map's legend, from the first to the last."""
    page = opened(name)
    page.context.new_cdp_session(page).send("Emulation.setEmulatedVisionDeficiency", {"type": sight})
    legend = page.locator("#zones-0 .mark-symbol.role-legend-symbol path")
    boxes = [box for box in (entry.bounding_box() for entry in legend.all()) if box]
    page.evaluate("window.scrollTo(0, 0)")
    with Image.open(BytesIO(page.screenshot(full_page=True))) as shown:
        middles = [(int(b["x"] + b["width"] / 2), int(b["y"] + b["height"] / 2)) for b in boxes]
        lightness = [shown.convert("L").getpixel(middle) for middle in middles]
    assert len(lightness) >= 4
    steps = [later - earlier for earlier, later in pairwise(lightness)]
    assert min(map(abs, steps)) > 8, lightness
    assert len({step > 0 for step in steps}) == 1, lightness
    if pictures:
        page.screenshot(path=pictures / f"{sight}-{name.replace('/', '-')}.png", full_page=True)


def test_the_reader_chooses_where_a_trip_begins(opened: Any) -> None:
    page = opened("green/2023-06.html")
    drawn = "document.querySelector('#travel-0 svg').innerHTML"
    before = page.evaluate(drawn)
    select = page.locator("select[data-parameter=start]")
    values = select.locator("option").evaluate_all("options => options.map(o => o.value)")
    assert len(values) > 5
    select.select_option(values[-1])
    page.wait_for_function(f"before => {drawn} !== before", arg=before)


def test_the_pages_lead_to_each_other(opened: Any) -> None:
    page = opened("index.html")
    page.get_by_role("link", name="2023-06").click()
    page.wait_for_selector("html[data-drawn]")
    assert page.title() == "Green taxi, June 2023"
    page.get_by_role("link", name="All of history").click()
    page.wait_for_selector("html[data-drawn]")
    assert page.title().startswith("New York")


def test_a_month_without_trips_is_a_page_without_charts(site: Path, browser: Browser) -> None:
    page = browser.new_page()
    page.goto((site / f"green/{EMPTY:%Y-%m}.html").as_uri())
    assert page.get_by_text("This month has no trips in the marts").is_visible()
    page.close()


def test_no_page_is_larger_than_three_megabytes(site: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in site.rglob("*.html")}
    assert max(sizes.values()) <= 3_000_000, sizes
