"""Pages of odd months, and that nothing of the data can leave its place on a page."""

import json
import re
from dataclasses import replace
from datetime import date
from html import escape

import pytest
from shapely.geometry import Point, shape

from taxi_assets.contract.zone_shapes import read_zone_shapes
from taxi_assets.reports.pages import Facts, month_page, overview_page
from taxi_assets.reports.picture import Absent, Picture
from taxi_assets.reports.questions import Scope
from taxi_assets.reports.render import MAX_PNG_BYTES
from taxi_assets.sample.zones import write_zone_shapes
from taxi_assets_tests.reports.answers import answers

MONTH = Scope("green", date(2023, 3, 1))


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    shapes = read_zone_shapes(write_zone_shapes(tmp_path_factory.mktemp("shapes")))
    return Facts(shapes.geojson, {74: "East Harlem North"}, {"green": [date(2023, 3, 1)]})


@pytest.mark.parametrize(
    ("trips", "refunds", "zones", "note", "drawn"),
    [
        (0, 0, (74,), "This month has no trips in the marts, so there is nothing to draw.", set()),
        (12, 0, (74, 75), "only 12 trips", {"trips_day", "zones", "hours", "cost", "quality"}),
        (200, 200, (74, 75), "All trips of this month are refunds", {"trips_day", "zones", "hours", "cost", "quality"}),
        (200, 0, (74,), "All pickups with a zone are in one zone, East Harlem North.", {"zones"}),
        (200, 0, (264, 265, None), "No pickup of this month has a zone of the city", {"trips_day"}),
    ],
)
def test_an_odd_month_has_a_page_that_says_so(
    facts: Facts, trips: int, refunds: int, zones: tuple[int | None, ...], note: str, drawn: set[str]
) -> None:
    page = month_page(MONTH, answers(MONTH, trips, refunds=refunds, zones=zones), facts)
    html = page.html()
    assert note in html
    assert drawn <= {picture.name for picture in page.pictures}
    assert len(page.content.sections) == 10
    for section in page.content.sections:
        if isinstance(section, Absent):
            # As the template escapes it.
            assert f"Not drawn: {escape(section.reason).replace('&#x27;', '&#39;')}" in html
        else:
            assert max(map(len, page.pngs.values())) <= MAX_PNG_BYTES


def test_what_is_in_no_zone_is_told_beside_the_map(facts: Facts) -> None:
    page = month_page(MONTH, answers(MONTH, 300, zones=(74, 264, 265)), facts)
    [zones] = [section for section in page.content.sections if section.name == "zones"]
    assert isinstance(zones, Picture)
    assert "not on the map are 100 (33.3%) of 264, unknown, 100 (33.3%) of 265, outside the city" in zones.subtitle
    assert "Source months: 2023-03" in zones.subtitle
    assert "Sample data" in zones.subtitle


def test_zones_of_coordinates_are_drawn_and_told(facts: Facts) -> None:
    found = dict(answers(MONTH, 300, zones=(74, None)))
    found["pickups"] = [row | {"by_coordinates": row["trips"] if row["zone"] else 0} for row in found["pickups"]]
    [fault] = found["quality"]
    found["quality"] = [{**fault, "no_pickup_zone_trips": 300, "pickup_zone_by_coordinates_trips": 150}]
    page = month_page(MONTH, found, facts)
    sections = {section.name: section for section in page.content.sections}
    zones, quality = sections["zones"], sections["quality"]
    assert isinstance(zones, Picture)
    assert "not on the map are 150 (50.0%) of no zone" in zones.subtitle
    assert "those that the coordinates lie in" in zones.subtitle
    assert isinstance(quality, Picture)
    assert "no or unknown zone 50.0%" in quality.alt or "50.0%" in quality.alt


def test_zones_that_lose_people_are_told_without_colours(facts: Facts) -> None:
    found = dict(answers(MONTH, 300))
    ends = {74: (5, 90), 75: (90, 5), 132: (6, 91)}
    found["flows"] = [
        {"part_of_day": "morning", "zone": zone, "dropoffs": dropoffs, "pickups": pickups}
        for zone, (dropoffs, pickups) in ends.items()
    ]
    page = month_page(MONTH, found, facts)
    [flows] = [section for section in page.content.sections if section.name == "flows"]
    assert isinstance(flows, Picture)
    assert "A dot is where more trips begin than end" in flows.subtitle
    [panel] = flows.panels
    [dots] = [layer for layer in panel.chart.to_dict()["layer"] if "longitude" in layer.get("encoding", {})]
    shapes = {f["id"]: shape(f["geometry"]) for f in json.loads(facts.geojson or "")["features"]}
    points = [Point(dot["x"], dot["y"]) for dot in panel.chart.to_dict()["datasets"][dots["data"]["name"]]]
    assert [[zone for zone, outline in shapes.items() if outline.contains(point)] for point in points] == [[74], [132]]


def test_without_shapes_the_page_says_what_to_do() -> None:
    page = month_page(MONTH, answers(MONTH, 300), Facts())
    assert "the lake has no zone shapes; materialize `zones`." in page.html()


def test_a_page_asks_for_nothing_and_nothing_of_the_data_is_markup(facts: Facts) -> None:
    bad = replace(facts, zone_names={74: "</script><img src=https://example.org/x.png onerror=alert(1)>"})
    html = month_page(MONTH, answers(MONTH, 300), bad).html()
    assert "<img src=https" not in html
    # Vega's own program has texts that look like markup.
    markup = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)
    assert re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(?!data:,)[^"]*"', markup) == []
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None
    assert "default-src &#39;none&#39;" in policy[1]
    for found in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html, re.DOTALL):
        json.loads(found)


def test_nothing_loaded_is_an_overview_that_says_so() -> None:
    scope = Scope()
    html = overview_page(answers(scope, 0), Facts()).html()
    assert "No month is loaded yet" in html
    assert "Not drawn" in html
