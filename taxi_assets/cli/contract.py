"""The commands of `taxi` about the data contract; they read arguments and print."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from taxi_assets.cleaning.options import UnknownColumns, ZonedTimes


@click.command()
@click.argument("dataset")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def contract(dataset: str, as_json: bool) -> None:
    """Print the contract of DATASET: its columns, types, published names and codes, and the rules for its rows."""
    from taxi_assets.contract import document as contracts
    from taxi_assets.contract.datasets import dataset as dataset_named

    found = contracts.contract(dataset_named(dataset))
    click.echo(json.dumps(found, indent=2) if as_json else contracts.as_text(found))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dataset", help="Which dataset it is, if neither its name nor its columns show it.")
@click.option("--month", help="Which month it is, such as 2020-04, if its name does not show it.")
@click.option(
    "--zoned-times",
    type=click.Choice(["convert", "as_wall_clock"]),
    help="How to read times marked UTC; by default as TAXI_ZONED_TIMES says.",
)
@click.option(
    "--unknown-columns",
    type=click.Choice(["freeze", "discard"]),
    help="What to do with columns that the contract does not know; by default as TAXI_UNKNOWN_COLUMNS says.",
)
@click.option("--rejected", type=click.Path(path_type=Path), help="Write the rejected rows to this Parquet file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect(
    file: Path,
    dataset: str | None,
    month: str | None,
    zoned_times: "ZonedTimes | None",
    unknown_columns: "UnknownColumns | None",
    rejected: Path | None,
    as_json: bool,
) -> None:
    """Show how the columns of a raw FILE map, and how many of its rows each rule would reject. Nothing is loaded."""
    from taxi_assets.cleaning import inspect as inspect_file
    from taxi_assets.cleaning.options import ReadingOptions
    from taxi_assets.settings import Settings

    settings = Settings.from_environment()
    options = ReadingOptions(zoned_times or settings.zoned_times, unknown_columns or settings.unknown_columns)
    found = inspect_file.inspect_file(file, dataset, month, options, rejected)
    click.echo(json.dumps(found, indent=2) if as_json else inspect_file.as_text(found))
