"""`python -m taxi_assets.marts.make_catalog`: write catalog.json, which Dagster's definitions are made from.

Reading it takes milliseconds; dbt itself would take seconds in each process of Dagster. A test holds it to the project.
"""

import json
import tempfile
from collections.abc import Iterator
from typing import Any

from dbt.artifacts.schemas.run import RunExecutionResult
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest
from sqlglot import exp, parse_one
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope

from taxi_assets.contract.tables import TABLES
from taxi_assets.marts.runner import PROJECT

DATASETS = ("yellow", "green", "fhv", "fhvhv")
FILE = PROJECT / "catalog.json"


def catalog() -> dict[str, Any]:
    """Return the models and tests of the project, with columns and what each is made from."""
    # A copy each: dbt keeps compiled code in the manifest.
    parsed = parse_project().to_msgpack()
    compiled = {name: compile_project(Manifest.from_msgpack(parsed), name) for name in DATASETS}
    nodes = compiled["yellow"]
    models = {node.name: node for node in nodes if node.resource_type == "model"}
    schema: dict[str, object] = {
        name: {column: "text" for column in table.schema.names} for name, table in TABLES.items()
    }
    schema |= {name: {column: "text" for column in node.columns} for name, node in models.items()}
    return {
        "models": {
            name: {
                "kind": node.fqn[1] if len(node.fqn) > 2 else "trips",
                "description": node.description,
                "depends_on": sorted({unique.split(".")[-1] for unique in node.depends_on.nodes}),
                "columns": {
                    c.name: {"kind": c.config.meta["kind"], "description": c.description} for c in node.columns.values()
                },
                "lineage": {
                    dataset: _lineage(code_of(compiled[dataset], name), list(node.columns), schema)
                    for dataset in (DATASETS if node.fqn[1] == "facts" else ("yellow",))
                },
            }
            for name, node in sorted(models.items())
        },
        "tests": {
            node.name: {
                "description": node.description,
                "models": sorted(unique.split(".")[-1] for unique in node.depends_on.nodes),
            }
            for node in sorted(nodes, key=lambda node: node.name)
            if node.resource_type == "test"
        },
    }


def parse_project() -> Manifest:
    """Return the project as dbt parses it."""
    result = _dbt(None, "parse")
    if not isinstance(result.result, Manifest):
        raise SystemExit(f"dbt could not parse the project: {result.exception}")
    return result.result


def compile_project(manifest: Manifest, dataset: str) -> list[Any]:
    """Return the nodes of a project, compiled for PostgreSQL and the dataset."""
    variables = json.dumps({"dataset": dataset})
    result = _dbt(manifest, "compile", "--no-populate-cache", "--no-introspect", "--vars", variables)
    if not isinstance(result.result, RunExecutionResult):
        raise SystemExit(f"dbt could not compile the project: {result.exception}")
    return [found.node for found in result.result.results]


def _dbt(manifest: Manifest | None, command: str, *options: str) -> dbtRunnerResult:
    with tempfile.TemporaryDirectory() as target:
        folders = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--target-path", target]
        quiet = ["--log-path", target, "--quiet", "--target", "postgres"]
        return dbtRunner(manifest).invoke([command, *folders, *quiet, *options])


def code_of(nodes: list[Any], name: str) -> str:
    """Return the SQL of the node of that name."""
    [node] = [node for node in nodes if node.name == name]
    return str(node.compiled_code)


def _lineage(code: str, columns: list[str], schema: dict[str, object]) -> dict[str, list[list[str]]]:
    """Return the columns of tables that each column is made from."""
    tree = parse_one(code, dialect="postgres")
    for table in tree.find_all(exp.Table):
        table.set("db", None)
        table.set("catalog", None)
    scope = build_scope(qualify(tree, dialect="postgres", schema=schema, validate_qualify_columns=False))
    if scope is None:
        raise SystemExit("sqlglot found no query in a model.")
    known: dict[tuple[int, str], set[tuple[str, str]]] = {}
    return {name: [list(pair) for pair in sorted(_origins(scope, name, known))] for name in columns}


def _origins(scope: Scope, name: str, known: dict[tuple[int, str], set[tuple[str, str]]]) -> set[tuple[str, str]]:
    """Return the (table, column) pairs that a column of the query comes from."""
    key = (id(scope), name)
    if key not in known:
        known[key] = set()
        known[key] = set(_search(scope, name, known))
    return known[key]


def _search(
    scope: Scope, name: str, known: dict[tuple[int, str], set[tuple[str, str]]], position: int | None = None
) -> Iterator[tuple[str, str]]:
    query = scope.expression
    selects: list[Any] = query.selects if isinstance(query, exp.Query) else []
    if position is None:
        position = next((place for place, select in enumerate(selects) if select.alias_or_name == name), None)
    if position is None:
        return
    for part in scope.union_scopes:
        yield from _search(part, name, known, position)
    for column in [] if scope.union_scopes else selects[position].find_all(exp.Column):
        source = scope.sources.get(column.table)
        if isinstance(source, Scope):
            yield from _origins(source, column.name, known)
        elif isinstance(source, exp.Table):
            yield (source.name, column.name)


def main() -> None:
    """Write the file."""
    FILE.write_text(json.dumps(catalog(), indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
