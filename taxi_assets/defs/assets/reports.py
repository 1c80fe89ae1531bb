"""The reports: a page of charts a month, and one of all history, drawn from the marts in PostgreSQL."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import dagster as dg
import psycopg
import pyarrow.parquet as pq

from taxi_assets.contract.datasets import DATASETS, Dataset
from taxi_assets.contract.object_names import (
    OVERVIEW_OBJECT,
    PARTS_PREFIX,
    REPORTS_PREFIX,
    ZONE_SHAPES_OBJECT,
    ZONES_OBJECT,
    report_object,
)
from taxi_assets.defs.assets.common import (
    OWNERS,
    as_dagster_failure,
    build_group_sensor,
    description_of,
    follow_every_month,
    month_of,
)
from taxi_assets.defs.assets.marts import key as mart_key
from taxi_assets.defs.assets.marts import manifests_of, marts_state
from taxi_assets.defs.checks import Check
from taxi_assets.defs.partitions import monthly
from taxi_assets.errors import ServiceError
from taxi_assets.marts.catalog import catalog
from taxi_assets.marts.marts import Marts
from taxi_assets.models import store
from taxi_assets.months import month_text, parse_month
from taxi_assets.resources.lake import LakeObject, LakeResource
from taxi_assets.resources.warehouse import Warehouse
from taxi_assets.runtime.queues import queue_tags

if TYPE_CHECKING:
    from taxi_assets.reports.pages import Facts, Page
    from taxi_assets.reports.picture import Picture
    from taxi_assets.reports.questions import Answers, Scope

GROUP = "reports"
# Raised when pages of the same rows would look otherwise, so that `taxi report` draws them anew.
PAGE_VERSION = "2"
LIBRARIES = ("altair", "pillow", "vl-convert-python")
NUMBERS = Check("numbers_are_the_marts", "The page is the one that the marts' answers give now, each number of it.")
# Browsers ask whether the page is still the same, and keep parts, whose names change with their content.
NO_CACHE, FOR_EVER = "no-cache", "public, max-age=31536000, immutable"
_MONTH_PAGE = re.compile(rf"{REPORTS_PREFIX}\w+/(\d{{4}}-(?:0[1-9]|1[0-2]))\.html")
# A reader may still have the page that names a part.
KEEP_PARTS = timedelta(days=1)


def build_month_report(dataset: Dataset) -> dg.AssetsDefinition:
    """Build the asset `<dataset>/month_report`."""
    key = [dataset.name, "month_report"]
    facts = [mart_key("postgres", dataset.name, model.name) for model in catalog().facts]
    static = [dg.AssetKey("zones"), mart_key("postgres", "dim_zone")]

    def month_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Draw the month: up to ten charts on one page, from the marts in PostgreSQL, and how well models did.

        The page loads nothing else and works from a file. A month that is empty, tiny, all refunds or in one zone has
        a page that says so. A rerun with the same marts gives the same page.
        """
        lake: LakeResource = context.resources.lake
        month = month_of(context)
        with as_dagster_failure(context):
            report = MonthReport.read(lake, postgres_marts(lake, context.resources.postgres), dataset, month)
            stored = report.publish(lake)
            text = lake.fetch(stored.name).read_text(encoding="utf-8")
            again = MonthReport.read(lake, postgres_marts(lake, context.resources.postgres), dataset, month)
            check = _checked(text, again.answers, again.page.html())
        context.log.info("%s charts on %s", len(report.page.pictures), stored.uri)
        return dg.MaterializeResult(
            metadata={
                "dagster/uri": stored.uri,
                "bytes": stored.bytes,
                "sample": report.page.content.sample or "no",
                **_pictures(report.page),
            },
            check_results=[check],
        )

    return _report(
        month_report,
        key=key,
        deps=[*facts, *static],
        partitions_def=monthly(dataset),
        description=description_of(month_report, dataset.title),
        check_specs=[NUMBERS.of(key)],
        # Of every month, as its marts; the zones and views are the same for all.
        automation_condition=follow_every_month(*static),
    )


def build_overview() -> dg.AssetsDefinition:
    """Build the asset `reports/overview`."""
    key = dg.AssetKey([GROUP, "overview"])

    def overview(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Draw all months that are loaded on one page, with a link to the page of each month.

        The pictures are written first, under names that their content gives them, and `index.html` last, so that no
        reader finds a page whose parts are not there.
        """
        lake: LakeResource = context.resources.lake
        with as_dagster_failure(context):
            marts = postgres_marts(lake, context.resources.postgres)
            made = Overview.read(lake, marts)
            stored, parts = made.publish(lake)
            again = Overview.read(lake, marts)
            text = lake.fetch(stored.name).read_text(encoding="utf-8")
            check = _checked(text, again.answers, again.page.html(parts))
        return dg.MaterializeResult(
            metadata={"dagster/uri": stored.uri, "bytes": stored.bytes, **_pictures(made.page)}, check_results=[check]
        )

    return _report(
        overview,
        key=key,
        deps=[*([name, "month_report"] for name in DATASETS), dg.AssetKey("zones"), mart_key("postgres", "dim_zone")],
        description=description_of(overview, "All of history"),
        check_specs=[dg.AssetCheckSpec(NUMBERS.name, asset=key, description=NUMBERS.description)],
        # Once for all months that are drawn together; most months of a dataset are never drawn.
        automation_condition=dg.AutomationCondition.any_deps_updated().since_last_handled()
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress(),
    )


def _report(draw: Callable[[dg.AssetExecutionContext], dg.MaterializeResult], **more: Any) -> dg.AssetsDefinition:
    """Return the asset that draws a page, with what all reports have in common."""
    made: dg.AssetsDefinition = dg.asset(
        group_name=GROUP,
        kinds={"html", "altair"},
        owners=OWNERS,
        tags={"layer": "report"},
        required_resource_keys={"lake", "postgres"},
        pool="clean",
        op_tags=queue_tags("clean"),
        code_version=PAGE_VERSION,
        **more,
    )(draw)
    return made


def build_reports_sensor(enabled_by_default: bool) -> dg.AutomationConditionSensorDefinition:
    """Build the sensor that draws a month when its marts were made."""
    return build_group_sensor(
        GROUP, enabled_by_default, "Draws the page of each month when its marts were made, or made anew."
    )


def postgres_marts(lake: LakeResource, warehouse: Warehouse) -> Marts:
    """Return the marts that reports are drawn from.

    Raises:
        ServiceError: The extra `reports` is not installed.
    """
    for name in LIBRARIES:
        try:
            version(name)
        except PackageNotFoundError as error:
            raise ServiceError(
                f"The package {name} is not installed; install the extra: pip install 'taxi-assets[reports]'."
            ) from error
    return Marts(warehouse, marts_state(lake))


@dataclass(frozen=True)
class MonthReport:
    """A month's page with the answers that it was made of."""

    dataset: Dataset
    month: date
    answers: "Answers"
    page: "Page"
    made_of: str

    @property
    def name(self) -> str:
        """Return the name of the page's object."""
        return report_object(self.dataset.name, self.month)

    @classmethod
    def read(cls, lake: LakeResource, marts: Marts, dataset: Dataset, month: date) -> "MonthReport":
        """Ask the marts for all that the page needs.

        Raises:
            ServiceError: There are no marts, or the database does not answer.
        """
        # Importing what draws charts takes longer than loading all definitions may.
        from taxi_assets.reports.pages import month_page
        from taxi_assets.reports.questions import Scope

        scope = Scope(dataset.name, month)
        answers, facts = answers_of(marts, scope), facts_of(lake, {dataset.name: [month]})
        return cls(dataset, month, answers, month_page(scope, answers, facts), _made_of(answers, facts))

    def publish(self, lake: LakeResource) -> LakeObject:
        """Store the page."""
        return _store(lake, self.name, self.page.html().encode(), NO_CACHE, {"made_of": self.made_of})

    def published(self, lake: LakeResource) -> bool:
        """Return whether the lake has this page already."""
        found = lake.find(self.name)
        return found is not None and found.metadata.get("made_of") == self.made_of


@dataclass(frozen=True)
class Overview:
    """The page of all history with the answers that it was made of."""

    answers: "Answers"
    page: "Page"

    @classmethod
    def read(cls, lake: LakeResource, marts: Marts, pages: Mapping[str, Iterable[date]] | None = None) -> "Overview":
        """Ask the marts for all that the page needs; `pages` are the months that have one, by default in the lake.

        Raises:
            ServiceError: There are no marts, or the database does not answer.
        """
        from taxi_assets.reports.pages import overview_page
        from taxi_assets.reports.questions import Scope

        answers = answers_of(marts, Scope())
        months: dict[str, list[date]] = {}
        for row in answers["quality"]:
            months.setdefault(row["dataset"], []).append(date.fromisoformat(row["source_month"]))
        have = pages if pages is not None else month_pages(lake)
        facts = replace(facts_of(lake, months), pages={name: sorted(found) for name, found in have.items()})
        return cls(answers, overview_page(answers, facts))

    def parts(self) -> dict[str, tuple[str, bytes]]:
        """Return each chart as a PNG, with an address relative to the page that its content gives it."""
        return {
            name: (f"parts/{name}-{hashlib.sha256(content).hexdigest()[:12]}.png", content)
            for name, content in self.page.pngs.items()
        }

    def publish(self, lake: LakeResource) -> tuple[LakeObject, dict[str, str]]:
        """Store the parts, then the page, then remove parts that no page names; return the page and its parts."""
        addresses = {}
        for name, (address, content) in self.parts().items():
            _store(lake, f"{REPORTS_PREFIX}{address}", content, FOR_EVER, {})
            addresses[name] = address
        stored = _store(lake, OVERVIEW_OBJECT, self.page.html(addresses).encode(), NO_CACHE, {})
        named = {f"{REPORTS_PREFIX}{address}" for address in addresses.values()}
        for item in lake.list(PARTS_PREFIX):
            if item.name not in named and datetime.now(UTC) - item.updated > KEEP_PARTS:
                lake.remove(item)
        return stored, addresses


def answers_of(marts: Marts, scope: "Scope") -> "Answers":
    """Return the marts' answers.

    Raises:
        ServiceError: The marts were never made.
    """
    from taxi_assets.reports.questions import ask

    try:
        return ask(scope, marts.query, marts.name)
    except ServiceError as error:
        # The connection has made a sentence of it that is about loads.
        if not isinstance(error.__cause__, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
            raise
        missing = str(error.__cause__).splitlines()[0]
        raise ServiceError(
            f"The marts in PostgreSQL are not complete ({missing}); materialize the group `marts`, or run "
            "`taxi report`, which makes what is missing."
        ) from error


def facts_of(lake: LakeResource, months: Mapping[str, list[date]]) -> "Facts":
    """Return what a page holds that is not in the marts: shapes, names, samples, and scores of duration models."""
    from taxi_assets.reports.pages import Facts

    geojson = None
    if lake.find(ZONE_SHAPES_OBJECT) is not None:
        geojson = lake.fetch(ZONE_SHAPES_OBJECT).read_text(encoding="utf-8")
    names: dict[int, str] = {}
    if lake.find(ZONES_OBJECT) is not None:
        rows = pq.read_table(lake.fetch(ZONES_OBJECT), columns=["location_id", "zone"]).to_pylist()
        names = {row["location_id"]: row["zone"] for row in rows if row["zone"]}
    samples = {
        name: [m for m, manifest in manifests_of(lake, DATASETS[name], found).items() if _is_sample(manifest.source)]
        for name, found in months.items()
    }
    return Facts(geojson, names, samples, models=[row for name in months for row in _model_scores(lake, name, months)])


def _model_scores(lake: LakeResource, dataset: str, months: Mapping[str, list[date]]) -> Iterator[dict[str, Any]]:
    """Yield how the model of each month, and those before it, did on it, from the models' cards."""
    cards = store.model_months(dataset, (item.name for item in lake.list(store.models_prefix(dataset))))
    for month in sorted({*cards} & {*months[dataset]}):
        card = store.read_card(dataset, month, lambda name: lake.fetch(name).read_bytes())
        if card["sample"] or card["scored_on"] != month_text(month):
            continue
        row = {"dataset": dataset, "scored_month": month_text(month)}
        [own] = [lead for lead in card["scores"] if lead["lead"] == 1]
        floor = min(scores["mae"] for scores in own["floors"].values())
        yield row | {"age_months": 0, "mae": own["model"]["mae"], "trips": own["model"]["trips"], "floor": floor}
        for old in card["drift"]:
            if "mae" in old:
                yield row | {name: old[name] for name in ("age_months", "mae", "trips")} | {"floor": None}


def month_pages(lake: LakeResource) -> dict[str, list[date]]:
    """Return the months of each dataset that have a page in the lake."""
    found: dict[str, list[date]] = {name: [] for name in DATASETS}
    for name, months in found.items():
        for item in lake.list(f"{REPORTS_PREFIX}{name}/"):
            # Whatever else somebody has put there is no page of a month.
            if found_month := _MONTH_PAGE.fullmatch(item.name):
                months.append(parse_month(found_month[1]))
    return found


def _is_sample(source: str) -> bool:
    return source.startswith("sample")


def _made_of(answers: "Answers", facts: "Facts") -> str:
    """Return a digest of all that a page is a function of."""
    shapes = hashlib.sha256((facts.geojson or "").encode()).hexdigest()
    rest = [PAGE_VERSION, *(version(name) for name in LIBRARIES), shapes, sorted(facts.zone_names.items())]
    samples = {name: [month_text(month) for month in months] for name, months in facts.samples.items()}
    return hashlib.sha256(json.dumps([rest, samples, facts.models, dict(answers)], default=list).encode()).hexdigest()


def _store(
    lake: LakeResource, name: str, content: bytes, cache_control: str, metadata: Mapping[str, str]
) -> LakeObject:
    """Store an object, and keep it in the cache, which thereby holds a copy of the whole site."""
    path = lake.local_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with lake.scratch() as folder:
        # With the name's ending, from which the bucket gets the content type.
        part = folder / path.name
        part.write_bytes(content)
        stored = lake.put(part, name, metadata, cache_control)
        part.replace(path)
    return stored


def _checked(html: str, answers: "Answers", rebuilt: str) -> dg.AssetCheckResult:
    from taxi_assets.reports.pages import differences

    wrong = differences(html, answers, rebuilt)
    text = f"The page differs from the marts in {', '.join(wrong)}." if wrong else "All numbers are the marts'."
    return dg.AssetCheckResult(check_name=NUMBERS.name, passed=not wrong, description=text)


def _pictures(page: "Page") -> dict[str, dg.MetadataValue]:
    """Return each chart as metadata that the UI shows."""
    return {picture.name: _image(picture, page.pngs[picture.name]) for picture in page.pictures}


def _image(picture: "Picture", content: bytes) -> dg.MetadataValue:
    alt = picture.alt.replace("[", "(").replace("]", ")")
    return dg.MetadataValue.md(f"![{alt}](data:image/png;base64,{base64.b64encode(content).decode()})")
