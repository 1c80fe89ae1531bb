"""The model of trip durations: how good it is on TLC's months, what a large month takes, how long an answer does."""

import statistics
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

from benchmarks.measure import race, run
from benchmarks.section import Section
from benchmarks.stages import title
from benchmarks.workbench import TLC, Workbench
from taxi_assets.cleaning.clean_file import clean_file
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.models.backtest import LeadScores, train
from taxi_assets.models.places import known_places
from taxi_assets.models.trips import Trips, read_sample, trips_of
from taxi_assets.months import month_text, months_before, parse_month
from taxi_assets.sample.files import write_sample

HEADER = ("what", "measured", "peak MiB", "to reach")
LARGE_ROWS = 24_000_000
LARGE_MONTH = date(2021, 1, 1)
SMALL_ROWS, MONTHS_READ = 200_000, 7
# Months scored, and what is to be reached on them.
REAL = {
    date(2020, 6, 1): "MAE < 5.6, RMSE < 9.5",
    date(2023, 6, 1): "≥ 10 % better, bias within 0.6, coverage 78 to 82 %",
}
QUESTION = ("--dataset", "green", "--from", "74", "--to", "75", "--at", "2023-02-10 17:30")


def model(bench: Workbench, runs: int, say: Callable[[str], None]) -> Section:
    """Score models of TLC's months, fit and score a month of 24 million rows, and ask for an estimate."""
    rows = [HEADER, *_real(bench, say)]
    say(f"A month of {LARGE_ROWS:,} rows, fitted and scored ...")
    large = race(("duration_model",), _large(bench), bench.folder, 1)["duration_model"]
    rows.append((title("duration_model"), f"{large.seconds:.1f} s", str(large.peak_mib), "≤ 60 s, ≤ 954 MiB (1 GB)"))
    say("An estimate from a model in the lake ...")
    seconds, peak = _estimate(bench, runs)
    rows.append(("taxi estimate, the whole process", f"{seconds:.2f} s", str(peak), "≤ 2 s"))
    return Section("The duration model", rows, ["Minutes; the floor is the stronger of the two in docs/model.md."])


def _real(bench: Workbench, say: Callable[[str], None]) -> list[tuple[str, str, str, str]]:
    """Score each real month by the models that TLC's files beside the project allow."""
    months: dict[date, Trips] = {}
    for source in sorted(TLC.glob("green_tripdata_20*")):
        month = parse_month(source.name[len("green_tripdata_") :][:7])
        if any(months_before(scored, MONTHS_READ) <= month <= scored for scored in REAL):
            clean_file(source, DATASETS["green"], month, bench.folder)
            months[month] = trips_of(read_sample(bench.folder / "kept.parquet", month))
    rows = []
    for scored, goal in REAL.items():
        if scored in months and months_before(scored, 1) in months:
            say(f"green {month_text(scored)} ...")
            leads = train(months, scored, known_places()).leads
            rows += [(_lead(scored, lead), _scores(lead), "", goal if lead.lead == 1 else "") for lead in leads]
    return rows


def _lead(scored: date, lead: LeadScores) -> str:
    return f"green {month_text(scored)}, {lead.lead} months ahead" if lead.lead > 1 else f"green {month_text(scored)}"


def _scores(lead: LeadScores) -> str:
    found, floor = lead.model, min(scores.mae for scores in lead.floors.values())
    return (
        f"MAE {found.mae:.2f} ({lead.gain:.0%} below the floor's {floor:.2f}), RMSE {found.rmse:.2f}, "
        f"bias {found.bias:+.2f}, coverage {found.coverage:.0%}"
    )


def _large(bench: Workbench) -> Path:
    """Make a folder with the kept rows of a large month and of small ones before it."""
    folder = bench.folder / "model"
    for back in range(MONTHS_READ + 1):
        month = months_before(LARGE_MONTH, back)
        target = folder / month_text(month)
        target.mkdir(parents=True)
        rows = SMALL_ROWS if back else LARGE_ROWS
        source = write_sample("yellow", month, bench.folder, rows=rows, file_format="parquet")
        clean_file(source, DATASETS["yellow"], month, target)
        source.unlink()
        (target / "rejected.parquet").unlink()
    return folder


def _estimate(bench: Workbench, runs: int) -> tuple[float, int]:
    """Seconds and peak MiB of a question, after two months of sample data and their model were made."""
    taxi = [sys.executable, "-m", "taxi_assets.cli.main"]
    environ = dict(bench.environ)
    run([*taxi, "materialize", "green", "2023-01..2023-02"], environ)
    select = ["--select", "green/duration_model", "--partition", "2023-02-01"]
    run([sys.executable, "-m", "dagster", "asset", "materialize", *select], environ)
    found = [run([*taxi, "estimate", *QUESTION], environ) for _ in range(runs)]
    return statistics.median(seconds for seconds, _ in found), max(peak for _, peak in found)
