"""Run dbt in a process of its own, for the months of one dataset in one warehouse.

dbt keeps state in its process, and takes a manifest only through its Python interface. With a manifest it parses
nothing: `--vars` would make it parse all models otherwise. Nothing of dbt is imported here.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from taxi_assets.errors import ServiceError, ServiceUnavailableError

PROJECT = Path(__file__).parent
PROCESS = (sys.executable, "-m", "taxi_assets.marts.dbt_process")


@dataclass(frozen=True)
class Node:
    """The result of a model or a test."""

    name: str
    kind: str
    status: str
    message: str
    seconds: float
    failures: int | None = None
    model: str | None = None


@dataclass(frozen=True)
class Target:
    """A warehouse as dbt finds it: the name in profiles.yml and the variables that it reads."""

    name: str
    environment: Mapping[str, str] = field(repr=False)


def run_dbt(
    target: Target,
    state: Path,
    command: str,
    select: Sequence[str],
    dataset: str = "yellow",
    months: Sequence[date] = (),
    manifests: Mapping[date, tuple[int, int]] | None = None,
) -> list[Node]:
    """Run a command of dbt for the selected models and return the result of each node.

    Args:
        target: The warehouse.
        state: A folder for the parsed project, which the next run reads.
        command: `run`, `test` or `build`.
        select: Names of models, tests or folders, as dbt's `--select` takes them.
        dataset: The dataset whose months are made.
        months: The months.
        manifests: Rows of the raw file and rejected rows of each month.

    Raises:
        ServiceError: dbt did not start, or its warehouse did not accept what it was given.
        ServiceUnavailableError: dbt was killed.
    """
    variables: dict[str, Any] = {"dataset": dataset, "months": [m.isoformat() for m in months] or ["2009-01-01"]}
    variables["manifests"] = {m.isoformat(): list(counts) for m, counts in (manifests or {}).items()}
    request = {
        "target": target.name,
        "state": str(state),
        "command": command,
        "select": list(select),
        "vars": variables,
        "parent": os.getpid(),
    }
    done = subprocess.run(
        PROCESS,
        input=json.dumps(request),
        capture_output=True,
        text=True,
        env=dict(os.environ) | dict(target.environment),
        check=False,
    )
    if done.returncode < 0:
        raise ServiceUnavailableError(
            f"dbt was killed by signal {-done.returncode} in {target.name}, as when memory is short; what it had made "
            "stays, and running it again makes the rest."
        )
    line = next((line for line in reversed(done.stdout.splitlines()) if line.startswith('{"nodes"')), None)
    if line is None:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise ServiceError(f"dbt ended without a result in {target.name}: {reason[-1] if reason else done.returncode}")
    answer = json.loads(line)
    if answer["error"]:
        raise ServiceError(f"dbt failed in {target.name}: {answer['error']}")
    return [Node(**node) for node in answer["nodes"]]
