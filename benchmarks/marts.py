"""Marts and reports: a small month, many months at once, the fifteen questions, pages, and what they add to a start."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from benchmarks.measure import run
from benchmarks.section import Section
from benchmarks.workbench import Workbench
from taxi_assets.cli.questions_document import DOCS, questions
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.assets.marts import manifests_of, marts_state
from taxi_assets.defs.assets.reports import MonthReport, Overview, postgres_marts
from taxi_assets.defs.build import lake_and_warehouses
from taxi_assets.marts.catalog import catalog
from taxi_assets.marts.marts import Marts
from taxi_assets.months import parse_month
from taxi_assets.resources.lake import LakeResource
from taxi_assets.resources.warehouse import WAREHOUSES

HEADER = ("what", "seconds", "of a processor", "to reach")
SMALL = ("green", "2023-06", 65_550)  # as TLC published it
YEAR = ("green", "2022-01..2022-12", 4_000)
HISTORY = ("yellow", "2021-01..2021-12", 20_000)
LOADED_MONTHS, HISTORY_MONTHS, OVERVIEW_MONTHS = 12, 36, 204
COPIED = ("fct_zone_hour", "fct_pair_part", "fct_month_quantiles", "fct_payment_month", "quality_month")
# The definitions with all marts, and with none of them.
LOADING = """
import time, dagster as dg
from taxi_assets.defs import build
from taxi_assets.settings import Settings
if {without}:
    build.build_marts = lambda: []
    build.build_marts_job = lambda: dg.define_asset_job("marts_views_job", "zones")
build.build_definitions(Settings.from_environment()).get_repository_def()
print(time.process_time())
"""


def marts(bench: Workbench, runs: int, say: Callable[[str], None]) -> Section:
    """Seconds of each, of the wall clock and of the processor of this machine's own processes."""
    os.environ.update(bench.environ)
    with lake_and_warehouses(bench.settings) as resources:
        lake, made = resources["lake"], [Marts(resources[name], marts_state(resources["lake"])) for name in WAREHOUSES]
        rows: list[Sequence[str]] = [HEADER]
        say("Loading the code location, with marts and without ...")
        with_marts, without = (_loading(bench, runs, without) for without in (False, True))
        added = f"{with_marts - without:.2f}"
        rows.append((f"loading the code location, {with_marts:.2f} s, by marts", "", added, "≤ +1"))
        _load(bench, "zones", None, 0, say)
        for label, (dataset, months, count), limit in (
            ("the first small month", SMALL, ""),
            ("a small month", SMALL, "≤ 15"),
            ("12 months in one run", YEAR, "≤ 30"),
        ):
            _load(bench, dataset, months, count, say)
            with _timed() as found:
                _make(lake, made, dataset, months)
            rows.append((f"marts in both warehouses: {label} of {dataset}, {count:,} rows each", *found, limit))
        _load(bench, *HISTORY, say)
        _make(lake, made[-1:], HISTORY[0], HISTORY[1])
        made[-1].make_views()
        _copy_months(made[-1], LOADED_MONTHS, HISTORY_MONTHS)
        with _timed() as found:
            say("A month's page ...")
            drawn_from = postgres_marts(lake, resources["postgres"])
            MonthReport.read(lake, drawn_from, DATASETS[SMALL[0]], parse_month(SMALL[1])).publish(lake)
        rows.append(("the page of a month of green", *found, "≤ 15"))
        rows += _questions(made[-1], runs, say)
        say(f"The overview of {OVERVIEW_MONTHS} months ...")
        _copy_months(made[-1], HISTORY_MONTHS, OVERVIEW_MONTHS)
        with _timed() as found:
            Overview.read(lake, made[-1]).publish(lake)
        rows.append((f"the overview of {OVERVIEW_MONTHS} months", *found, "≤ 60"))
    note = f"All months are made up; of yellow, {LOADED_MONTHS} months were loaded, and copied in the marts."
    return Section("Marts and reports", rows, [note])


def _loading(bench: Workbench, runs: int, without: bool) -> float:
    command = [sys.executable, "-c", LOADING.format(without=without)]
    found = [float(subprocess.check_output(command, env=dict(bench.environ), text=True)) for _ in range(runs)]
    return sorted(found)[runs // 2]


def _load(bench: Workbench, dataset: str, months: str | None, rows: int, say: Callable[[str], None]) -> None:
    """Load the months of made-up files, unless they are there."""
    say(f"Loading {dataset} {months or ''} ...")
    environ = dict(bench.environ) | ({"TAXI_SAMPLE_ROWS": str(rows)} if rows else {})
    command = ["taxi_assets.cli.main", "materialize", dataset, months or ""]
    if months is None:
        command = ["dagster", "asset", "materialize", "--select", dataset, "-m", "taxi_assets.definitions"]
    run([sys.executable, "-m", *command], environ)


def _make(lake: LakeResource, made: Sequence[Marts], dataset: str, months: str) -> None:
    first, _, last = months.partition("..")
    every = list(made[-1].warehouse.month_rows(DATASETS[dataset], parse_month(first), parse_month(last or first)))
    manifests = manifests_of(lake, DATASETS[dataset], every)
    with ThreadPoolExecutor(len(made)) as pool:
        for done in [pool.submit(marts.make_months, DATASETS[dataset], every, manifests) for marts in made]:
            done.result()


def _questions(marts: Marts, runs: int, say: Callable[[str], None]) -> Iterator[Sequence[str]]:
    """Return the slowest question of the docs, of medians, and all of them together."""
    say(f"The fifteen questions of {HISTORY_MONTHS} months ...")
    found = {}
    for question in questions(DOCS.read_text(encoding="utf-8")):
        seconds = []
        for _ in range(runs):
            started = time.perf_counter()
            marts.query(question.sql)
            seconds.append(time.perf_counter() - started)
        found[question.title] = sorted(seconds)[runs // 2]
    for title, median in sorted(found.items(), key=lambda item: -item[1])[:3]:
        yield f"of {HISTORY_MONTHS} months of yellow: {title}", f"{median:.2f}", "", "≤ 1"
    yield "all fifteen questions", f"{sum(found.values()):.2f}", "", ""


def _copy_months(marts: Marts, months: int, wanted: int) -> None:
    """Copy the newest year of the marts to earlier years until there are the months wanted."""
    with marts.warehouse.connect() as connection:  # type: ignore[attr-defined]
        for table in COPIED:
            columns = list(catalog().models[table].columns)
            for back in range(months, wanted, LOADED_MONTHS):
                dates = {c: f"({c} - INTERVAL '{back} months')::date" for c in ("source_month", "pickup_date")}
                moved = [dates.get(column, column) for column in columns]
                connection.execute(
                    f"INSERT INTO taxi_marts.{table} ({', '.join(columns)}) SELECT {', '.join(moved)} "
                    f"FROM taxi_marts.{table} WHERE dataset = 'yellow' AND source_month >= DATE '2021-01-01'"
                )


@contextmanager
def _timed() -> Iterator[list[str]]:
    """Fill the list with the seconds of the block, by the clock and of this process's and its children's processor."""
    found: list[str] = []
    started, before = time.perf_counter(), os.times()
    yield found
    after = os.times()
    cpu = sum(after[:4]) - sum(before[:4])
    found += [f"{time.perf_counter() - started:.1f}", f"{cpu:.1f}"]
