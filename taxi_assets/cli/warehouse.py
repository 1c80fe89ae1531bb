"""The commands of `taxi` that make the warehouses what they should be; they read arguments and print."""

import os
from collections.abc import Sequence
from datetime import date

import click

from taxi_assets.cli.operate import datasets_and_span, lake_and_sinks

_CHOICE = (
    click.option("--bigquery", is_flag=True, help="Only BigQuery."),
    click.option("--postgres", is_flag=True, help="Only PostgreSQL."),
)


@click.command()
@_CHOICE[0]
@_CHOICE[1]
def migrate(bigquery: bool, postgres: bool) -> None:
    """Bring the warehouses' tables, and Dagster's pools, to what this version needs.

    A second time changes nothing. `taxi up` and the code server do the same; every load brings the tables up to date.
    """
    from taxi_assets.runtime.pools import ensure_pools

    with lake_and_sinks() as resources:
        if postgres or not bigquery:
            steps = ", ".join(resources["postgres"].ensure_tables())
            click.echo(f"PostgreSQL: {f'applied {steps}' if steps else 'nothing to do'}.")
        if bigquery or not postgres:
            resources["bigquery"].ensure_tables()
            click.echo("BigQuery: the tables are as in the contract.")
        if (url := os.environ.get("DAGSTER_POSTGRES_URL")) and not (postgres or bigquery):
            pools = ", ".join(sorted(ensure_pools(url)))
            click.echo(f"Dagster: {f'created the pools {pools}' if pools else 'all pools are there'}.")


@click.command()
@click.argument("dataset", required=False)
@click.argument("months", required=False, metavar="[MONTH..MONTH]")
@_CHOICE[0]
@_CHOICE[1]
@click.option("--force", is_flag=True, help="Load also the months that equal the lake already.")
@click.option("--marts", is_flag=True, help="Instead, make the marts anew from the warehouses' tables.")
@click.pass_context
def rebuild(
    ctx: click.Context,
    dataset: str | None,
    months: str | None,
    bigquery: bool,
    postgres: bool,
    force: bool,
    marts: bool,
) -> None:
    """Load BigQuery and PostgreSQL from the lake alone: every month that it holds, and the zones and scored pairs.

    Of all datasets, or of DATASET; of all months, or of those from MONTH to MONTH, as 2019-01..2019-12 or 2020-04.
    Months that equal the lake are skipped, so that an interrupted rebuild can be repeated. With --marts, the marts of
    these months are made from the tables instead; of all datasets and months, their tables are dropped before. Exit
    code 0 if all that the lake holds is loaded, 1 if not.
    """
    from taxi_assets.contract.datasets import DATASETS
    from taxi_assets.reconcile.rebuild import rebuild as load
    from taxi_assets.resources.warehouse import WAREHOUSES

    chosen, first, last = datasets_and_span(dataset, months)
    wanted = [name for name, is_set in (("bigquery", bigquery), ("postgres", postgres)) if is_set]
    if marts:
        ctx.exit(_rebuild_marts(chosen, first, last, wanted, anew=dataset is None and months is None))
    with lake_and_sinks() as resources:
        summary = load(
            resources["lake"],
            [resources[name] for name in wanted or WAREHOUSES],
            [DATASETS[name] for name in chosen],
            first,
            last,
            whole_tables=dataset is None,
            force=force,
            log=click.echo,
        )
    if not summary.loaded + summary.equal + summary.failed:
        click.echo("The lake holds none of these months.")
    else:
        click.echo(
            f"{summary.loaded:,} loaded with {summary.rows:,} rows, {summary.equal:,} equal already, "
            f"{summary.failed:,} failed{'; mend what is named and run it again' if summary.failed else ''}."
        )
    ctx.exit(1 if summary.failed else 0)


def _rebuild_marts(chosen: Sequence[str], first: date, last: date, wanted: Sequence[str], anew: bool) -> int:
    from taxi_assets.contract.datasets import DATASETS
    from taxi_assets.defs.assets.marts import marts_state
    from taxi_assets.marts.marts import Marts
    from taxi_assets.reconcile.rebuild import rebuild_marts
    from taxi_assets.resources.warehouse import WAREHOUSES

    with lake_and_sinks() as resources:
        lake = resources["lake"]
        summary = rebuild_marts(
            lake,
            [Marts(resources[name], marts_state(lake)) for name in wanted or WAREHOUSES],
            [DATASETS[name] for name in chosen],
            first,
            last,
            anew=anew,
            log=click.echo,
        )
    click.echo(
        f"{summary.loaded:,} months of marts made, {summary.failed:,} failed"
        f"{'; mend what is named and run it again' if summary.failed else ''}."
        if summary.loaded + summary.failed
        else "The warehouses hold none of these months."
    )
    return 1 if summary.failed else 0
