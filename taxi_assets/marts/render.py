"""The SQL of models for another engine, from the project's own macros, without dbt.

dbt has no adapter of Spark's here, and a model has to become text before it can be sent to a cluster. The macros that
the models of facts use are plain Jinja; a test holds what this makes for PostgreSQL to what dbt compiles.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import cache
from types import SimpleNamespace
from typing import Any

import yaml

from taxi_assets.marts.runner import PROJECT

# The others define what only dbt has: materializations and tests.
MACROS = ("warehouse", "this_run", "zones", "trips", "refunds", "percentiles")


def render(
    template: str,
    engine: str,
    dataset: str,
    months: Sequence[date],
    source: Callable[[str], str] = str,
) -> str:
    """Return the SQL of a template that uses the project's macros, for months of a dataset.

    Args:
        template: The text of a model, or one that uses the same macros.
        engine: `spark`, or the type of one of dbt's targets.
        dataset: The dataset.
        months: The months.
        source: What a table of trips is called, by its name.
    """
    # Imported only to render: it would be a tenth of a second at each load of the definitions.
    from jinja2 import Environment, StrictUndefined

    variables = {**_defaults(), "dataset": dataset, "months": [month.isoformat() for month in months]}
    content = "".join(_read(f"macros/{name}.sql") for name in MACROS) + template
    return (
        Environment(undefined=StrictUndefined, autoescape=False)
        .from_string(content)
        .render(var=variables.__getitem__, target=SimpleNamespace(type=engine), source=lambda _, name: source(name))
        .strip()
    )


def render_fact(name: str, engine: str, dataset: str, months: Sequence[date]) -> str:
    """Return the SQL of a model of facts, which reads the table of trips by its plain name."""
    return render(_read(f"models/facts/{name}.sql"), engine, dataset, months)


@cache
def _read(name: str) -> str:
    return (PROJECT / name).read_text(encoding="utf-8")


@cache
def _defaults() -> Mapping[str, Any]:
    variables: dict[str, Any] = yaml.safe_load(_read("dbt_project.yml"))["vars"]
    return variables
