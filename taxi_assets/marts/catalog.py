"""What the dbt project has: models with their columns and origins, and tests; read from catalog.json."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Model:
    """A table or view; `lineage` is by dataset and column, for views by `yellow` alone."""

    name: str
    kind: str
    description: str
    depends_on: tuple[str, ...]
    columns: Mapping[str, Mapping[str, str]]
    lineage: Mapping[str, Mapping[str, list[list[str]]]]


@dataclass(frozen=True)
class Test:
    """A test of the rows of a month, with the models that it reads."""

    name: str
    description: str
    models: tuple[str, ...]


@dataclass(frozen=True)
class Catalog:
    """All models and tests; the version changes with any of them."""

    models: Mapping[str, Model]
    tests: Mapping[str, Test]
    version: str

    @property
    def facts(self) -> list[Model]:
        """The tables, of which each run replaces months."""
        return [model for model in self.models.values() if model.kind == "facts"]

    @property
    def views(self) -> list[Model]:
        """Everything else, which is a view."""
        return [model for model in self.models.values() if model.kind != "facts"]


@cache
def catalog() -> Catalog:
    """Return the catalog."""
    text = files("taxi_assets.marts").joinpath("catalog.json").read_text(encoding="utf-8")
    found = json.loads(text)
    models = {
        name: Model(name, m["kind"], m["description"], tuple(m["depends_on"]), m["columns"], m["lineage"])
        for name, m in found["models"].items()
    }
    tests = {name: Test(name, t["description"], tuple(t["models"])) for name, t in found["tests"].items()}
    return Catalog(models, tests, hashlib.sha256(text.encode()).hexdigest()[:12])
