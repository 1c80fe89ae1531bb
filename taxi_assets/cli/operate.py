"""The commands of `taxi` that operate the platform; they read arguments and print."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from taxi_assets.cli.tables import table
from taxi_assets.months import month_text, parse_span

if TYPE_CHECKING:
    from taxi_assets.reconcile.verify import VerificationReport


@click.command()
@click.argument("dataset", required=False)
@click.argument("months", required=False, metavar="[MONTH..MONTH]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def verify(ctx: click.Context, dataset: str | None, months: str | None, as_json: bool) -> None:
    """Compare BigQuery and PostgreSQL with the lake: rows, sums of money, first and last pickup of every month.

    Where a dataset has marts, also their trips and sums of money.

    Of all datasets, or of DATASET; of all months, or of those from MONTH to MONTH, as 2019-01..2019-12 or 2020-04.
    Each difference comes with the command that mends it. Exit code 0 if all is equal, 1 if not.
    """
    chosen, first, last = datasets_and_span(dataset, months)
    reports = _reports(chosen, first, last, quiet=as_json or not sys.stderr.isatty())
    equal = all(report.equal for report in reports)
    if as_json:
        found = [asdict(report) | {"equal": report.equal} for report in reports]
        click.echo(json.dumps({"equal": equal, "datasets": found}, indent=2, default=str))
    else:
        click.echo(_as_text(reports))
    ctx.exit(0 if equal else 1)


def datasets_and_span(dataset: str | None, months: str | None) -> tuple[Sequence[str], date, date]:
    """Return the datasets and the span of months, from arguments of which either may be left out."""
    from taxi_assets.contract.datasets import DATASETS
    from taxi_assets.contract.datasets import dataset as dataset_named

    if dataset is not None and months is None and dataset not in DATASETS and dataset[:1].isdigit():
        dataset, months = None, dataset
    chosen = list(DATASETS) if dataset is None else [dataset_named(dataset).name]
    return chosen, *(parse_span(months) if months else (date.min, date.max))


@contextmanager
def lake_and_sinks() -> Iterator[dict[str, Any]]:
    """Return the lake and the warehouses, with the environment that their clients need."""
    from taxi_assets.defs.build import lake_and_warehouses
    from taxi_assets.local.environment import environment
    from taxi_assets.settings import Settings

    settings = Settings.from_environment()
    os.environ.update(environment(settings))
    with lake_and_warehouses(settings) as resources:
        yield resources


def _reports(chosen: Sequence[str], first: date, last: date, quiet: bool) -> "list[VerificationReport]":
    from taxi_assets.contract.datasets import DATASETS
    from taxi_assets.defs.assets.marts import marts_state
    from taxi_assets.marts.marts import Marts
    from taxi_assets.reconcile.verify import verify
    from taxi_assets.resources.warehouse import WAREHOUSES

    def show(text: str) -> None:
        if not quiet:
            click.echo(f"\r{text:<40}", err=True, nl=False)

    with lake_and_sinks() as resources:
        warehouses = [resources[name] for name in WAREHOUSES]
        lake = resources["lake"]
        marts = [Marts(warehouse, marts_state(lake)) for warehouse in warehouses]
        found = [verify(DATASETS[name], lake, warehouses, first, last, show, marts) for name in chosen]
    if not quiet:
        click.echo(f"\r{'':<40}\r", err=True, nl=False)
    return found


def _as_text(reports: "Sequence[VerificationReport]") -> str:
    lines = []
    for report in reports:
        held = f"{report.dataset}: {report.months:,} months with {report.rows:,} rows in the lake"
        if report.equal:
            lines.append(f"✓ {held}, and the same in BigQuery and PostgreSQL" if report.months else f"✓ {held}")
            continue
        lines.append(f"✗ {held}; {len(report.differences)} differences")
        for place, reason in report.unasked.items():
            lines.append(f"  {place} was not compared: {reason}")
        for difference in report.differences:
            lines += [
                f"  {difference.dataset} {month_text(difference.month)} in {difference.place}",
                f"    found     {difference.found}",
                f"    expected  {difference.expected}",
                f"    rerun     {difference.command}",
            ]
    return "\n".join(lines)


def datasets_table(found: dict[str, Any] | str) -> str:
    """Return the datasets table of `taxi status`, or the reason why there is none."""
    if isinstance(found, str):
        return f"datasets: unknown, {found}"
    rows = [("DATASET", "LOADED", "MISSING", "FAILED", "BEHIND", "NEWEST", "PUBLISHED")]
    for name, line in found.items():
        behind = "-" if line["behind"] is None else str(line["behind"])
        counts = (str(line["loaded"]), str(len(line["missing"])), str(len(line["failed"])), behind)
        rows.append((name, *counts, line["newest_loaded"] or "-", line["newest_published"] or "-"))
    text = table(rows, numbers=range(1, 5))
    for what in ("missing", "failed"):
        for name, line in found.items():
            if line[what]:
                more = f" and {len(line[what]) - 6} more" if len(line[what]) > 6 else ""
                text += f"\n{what}: {name} {', '.join(line[what][-6:])}{more}"
    return text
