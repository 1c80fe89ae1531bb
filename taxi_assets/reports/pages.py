"""The pages: a month of a dataset, and all of history; from the answers of the marts to one HTML file each."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.reports import map_charts, model_charts, money_charts, style, time_charts
from taxi_assets.reports.html import PageContent, Tile, to_html
from taxi_assets.reports.picture import Absent, Context, Picture
from taxi_assets.reports.questions import Answers, Rows, Scope
from taxi_assets.reports.render import png

SAMPLE = "Sample data made on a machine, not TLC's"
# Fewer trips than this make shares and percentiles that say little.
FEW_TRIPS = 100
_ANSWERS = re.compile(r'<script type="application/json" id="answers">(.*?)</script>', re.DOTALL)


@dataclass(frozen=True)
class Facts:
    """What a page holds that is not in the marts.

    Attributes:
        geojson: The zones' shapes, or None if the lake has none.
        zone_names: Names by number, from the lookup.
        samples: Months of each dataset that are made up.
        pages: Months of each dataset that have a page, for the links of the overview.
        models: How duration models did on months, as `model_charts.drift` reads it.
    """

    geojson: str | None = None
    zone_names: Mapping[int, str] = field(default_factory=dict)
    samples: Mapping[str, Sequence[date]] = field(default_factory=dict)
    pages: Mapping[str, Sequence[date]] = field(default_factory=dict)
    models: Rows = ()


@dataclass(frozen=True)
class Page:
    """A page before it is drawn."""

    content: PageContent

    @property
    def pictures(self) -> list[Picture]:
        """Return the charts that are drawn on it."""
        return [section for section in self.content.sections if isinstance(section, Picture)]

    @property
    def shared(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Return the rows that several panels read."""
        return self.content.shared

    @cached_property
    def pngs(self) -> dict[str, bytes]:
        """Return each chart as a PNG, by name."""
        return {picture.name: png(picture, self.shared) for picture in self.pictures}

    def html(self, parts: Mapping[str, str] | None = None) -> str:
        """Return the page's HTML; `parts` are the addresses of pictures as PNG, by name."""
        return to_html(replace(self.content, parts=parts or {}))


Chart = Callable[[Rows, Context], Picture | Absent]


def month_page(scope: Scope, answers: Answers, facts: Facts) -> Page:
    """Return the page of a month of a dataset; one without trips has a page, too, which says so."""
    assert scope.dataset is not None
    assert scope.month is not None
    is_sample = scope.month in facts.samples.get(scope.dataset, ())
    context = _context(scope, f"{scope.month:%Y-%m}", facts, SAMPLE if is_sample else None)
    month = f"{scope.month:%B %Y}"
    return _page(
        context,
        answers,
        facts.models,
        title=f"{style.DATASETS[scope.dataset]}, {month}",
        lead=f"{DATASETS[scope.dataset].title}: the month {scope.month:%Y-%m} of TLC's files, as the marts hold it.",
        tiles=_month_tiles(answers),
        notes=_month_notes(answers, facts),
        home="../index.html",
    )


def overview_page(answers: Answers, facts: Facts) -> Page:
    """Return the page of all of history, with a link to the page of each month."""
    scope = Scope()
    months = [date.fromisoformat(row[end]) for row in answers["totals"] for end in ("first_month", "last_month")]
    loaded = _loaded(answers)
    made_up = sum(month in facts.samples.get(name, ()) for name, found in loaded.items() for month in found)
    count = sum(len(found) for found in loaded.values())
    samples = None
    if made_up:
        samples = SAMPLE if made_up == count else f"{made_up} of {count} months are sample data, not TLC's"
    context = _context(scope, style.months_text(months) if months else "none", facts, samples)
    return _page(
        context,
        answers,
        facts.models,
        title="New York's taxi and for-hire trips",
        lead="All months that are loaded, as the marts hold them.",
        tiles=_history_tiles(answers, count),
        notes=[] if count else ["No month is loaded yet, so there is nothing to draw."],
        home=None,
        links=_links(loaded, facts),
    )


def _context(scope: Scope, months: str, facts: Facts, sample: str | None) -> Context:
    shapes = json.loads(facts.geojson)["features"] if facts.geojson else []
    names = {f["id"]: f["properties"]["zone"] for f in shapes if f["properties"]["zone"]}
    return Context(scope, months, sample, shapes, names | dict(facts.zone_names))


def _page(
    context: Context,
    answers: Answers,
    models: Rows,
    *,
    title: str,
    lead: str,
    tiles: Sequence[Tile],
    notes: Sequence[str],
    home: str | None,
    links: Sequence[tuple[str, Sequence[tuple[str, str | None]]]] = (),
) -> Page:
    def zones(rows: Rows, of: Context) -> Picture | Absent:
        return map_charts.zones(rows, answers["flows"], of)

    charts: Sequence[tuple[str, Chart]] = (
        ("trips_day", time_charts.trips_day),
        ("market_share", time_charts.market_share),
        ("pickups", zones),
        ("hours", time_charts.hours),
        ("flows", map_charts.flows),
        ("travel", map_charts.travel),
        ("speed", money_charts.speed),
        ("cost", money_charts.cost),
        ("driver_pay", money_charts.driver_pay),
        ("quality", time_charts.quality),
    )
    sections = [draw(answers[question], context) for question, draw in charts]
    if drift := model_charts.drift(models, context):
        sections.append(drift)
    pictures = [section for section in sections if isinstance(section, Picture)]
    shared: dict[str, Sequence[Mapping[str, Any]]] = {}
    for picture in pictures:
        shared |= picture.shared
    if context.shapes:
        shared["zones"] = context.shapes
    return Page(PageContent(title, lead, context.sample, tiles, notes, sections, shared, home, links, digests(answers)))


def digests(answers: Answers) -> dict[str, str]:
    """Return the start of a digest of each question's rows, which a page keeps to be compared with the marts."""
    return {
        question: hashlib.sha256(json.dumps(list(rows), sort_keys=True).encode()).hexdigest()[:16]
        for question, rows in answers.items()
    }


def differences(html: str, answers: Answers, rebuilt: str) -> list[str]:
    """Return the questions whose rows are others than when the page was made, or that the page is another one.

    Args:
        html: The page as it was stored.
        answers: The marts' answers now.
        rebuilt: The page made of them; it is a function of the answers, so that every number of it is compared.
    """
    found = _ANSWERS.search(html)
    held = json.loads(found[1]) if found else {}
    changed = [question for question, digest in digests(answers).items() if held.get(question) != digest]
    return changed or (["the page itself"] if html != rebuilt else [])


def _month_tiles(answers: Answers) -> list[Tile]:
    totals = answers["totals"]
    measures = {row["measure"]: row for row in answers["quantiles"]}
    days = len({row["pickup_date"] for row in answers["trips_day"]})
    trips = sum(row["trips"] for row in totals)
    tiles = [Tile("trips", style.number(trips), trips)]
    if days:
        in_month = sum(row["trips"] for row in answers["trips_day"])
        tiles.append(Tile("trips a day", style.number(round(in_month / days)), round(in_month / days)))
    for name, words, unit, factor in (
        ("duration_s", "median duration", "min", 1 / 60),
        ("distance_mi", "median distance", "mi", 1),
        ("total_usd", "median total paid", "USD", 1),
        ("driver_pay_usd", "median driver pay", "USD", 1),
    ):
        if name in measures and measures[name]["p50"] is not None:
            value = round(measures[name]["p50"] * factor, 2)
            tiles.append(Tile(words, f"{style.number(value)} {unit}", value))
    return tiles


def _month_notes(answers: Answers, facts: Facts) -> list[str]:
    """Return sentences about what makes a month unlike others."""
    trips = sum(row["trips"] for row in answers["totals"])
    if not trips:
        return ["This month has no trips in the marts, so there is nothing to draw."]
    notes = []
    if trips < FEW_TRIPS:
        notes.append(f"This month has only {trips:,} trips: shares and percentiles of so few say little.")
    if sum(row["refunds"] for row in answers["totals"]) == trips:
        notes.append("All trips of this month are refunds, with negative fares: there is no usual trip to describe.")
    places = {row["zone"] for row in answers["pickups"] if row["zone"] not in map_charts.NO_PLACE}
    if len(places) == 1:
        [zone] = places
        name = facts.zone_names.get(zone) or f"zone {zone}"
        notes.append(f"All pickups with a zone are in one zone, {name}.")
    if not places:
        notes.append("No pickup of this month has a zone of the city, so that there is no map.")
    return notes


def _history_tiles(answers: Answers, months: int) -> list[Tile]:
    totals = answers["totals"]
    trips = sum(row["trips"] for row in totals)
    largest = [Tile(f"trips of {row['company']}", style.number(row["trips"]), row["trips"]) for row in totals[:4]]
    return [Tile("trips", style.number(trips), trips), Tile("months loaded", style.number(months), months), *largest]


def _loaded(answers: Answers) -> dict[str, list[date]]:
    found: dict[str, list[date]] = {}
    for row in answers["quality"]:
        found.setdefault(row["dataset"], []).append(date.fromisoformat(row["source_month"]))
    return found


def _links(loaded: Mapping[str, Sequence[date]], facts: Facts) -> list[tuple[str, Sequence[tuple[str, str | None]]]]:
    """Return each dataset's months with the addresses of their pages, None where there is no page yet."""
    links: list[tuple[str, Sequence[tuple[str, str | None]]]] = []
    for name in DATASETS:
        have = set(facts.pages.get(name, ()))
        months = sorted(set(loaded.get(name, ())) | have)
        if months:
            texts = [(f"{m:%Y-%m}", f"{name}/{m:%Y-%m}.html" if m in have else None) for m in months]
            links.append((DATASETS[name].title, texts))
    return links
