"""The commands of `taxi` about the data contract; they read arguments and print."""

import json
from pathlib import Path

import click


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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect(file: Path, dataset: str | None, month: str | None, as_json: bool) -> None:
    """Show how the columns of a raw FILE map, and how many of its rows each rule would reject. Nothing is loaded."""
    from taxi_assets.cleaning import inspect as inspect_file

    found = inspect_file.inspect_file(file, dataset, month)
    click.echo(json.dumps(found, indent=2) if as_json else inspect_file.as_text(found))
