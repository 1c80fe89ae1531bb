"""The process in which dbt runs: a request as JSON on standard input, the results as JSON on standard output."""

import ctypes
import hashlib
import json
import logging
import os
import signal
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dbt.artifacts.schemas.run import RunExecutionResult
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest

PROJECT = Path(__file__).parent
_PR_SET_PDEATHSIG = 1
SOURCES = ("*.yml", "macros/**/*.sql", "models/**/*", "tests/**/*.sql")


def main() -> None:
    """Answer the request."""
    request = json.loads(sys.stdin.read())
    _end_with(request["parent"])
    print(json.dumps(run(request)))


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run the command and return its nodes, or the error that kept it from running."""
    state = Path(request["state"])
    manifest, error = _manifest(request["target"], state)
    if manifest is None:
        return {"nodes": [], "error": error}
    with tempfile.TemporaryDirectory() as target_path:
        arguments = [
            request["command"],
            *_common(request["target"], target_path),
            "--vars",
            json.dumps(request["vars"]),
        ]
        arguments += ["--select", *request["select"]] if request["select"] else []
        result = dbtRunner(manifest=manifest).invoke(arguments)
    if not isinstance(result.result, RunExecutionResult):
        return {"nodes": [], "error": _sentence(result)}
    return {"nodes": [_node(found) for found in result.result.results], "error": None}


def _end_with(parent: int) -> None:
    """Be killed with the run that waits for the results, as its next attempt would meet this process otherwise."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:
            # It ended before, so no signal will come.
            os._exit(1)


def _common(target: str, target_path: str) -> list[str]:
    folders = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--target-path", target_path]
    return [*folders, "--target", target, "--log-path", target_path, "--log-level", "error", "--quiet"]


def _manifest(target: str, state: Path) -> tuple[Manifest | None, str | None]:
    """Return the parsed project, read from the folder if it was parsed before with the same files and target."""
    file = state / f"manifest-{target}-{_fingerprint(target)}.msgpack"
    if file.exists():
        return Manifest.from_msgpack(file.read_bytes()), None
    with tempfile.TemporaryDirectory() as target_path:
        result = dbtRunner().invoke(["parse", *_common(target, target_path), "--no-partial-parse"])
    if not isinstance(result.result, Manifest):
        return None, _sentence(result)
    state.mkdir(parents=True, exist_ok=True)
    # Renamed when whole: two runs may parse at the same time.
    with tempfile.NamedTemporaryFile(dir=state, delete=False) as part:
        part.write(result.result.to_msgpack())
    Path(part.name).replace(file)
    return result.result, None


def _fingerprint(target: str) -> str:
    digest = hashlib.sha256(f"{version('dbt-core')} {version(f'dbt-{target}')}".encode())
    for file in sorted({file for pattern in SOURCES for file in PROJECT.glob(pattern) if file.is_file()}):
        digest.update(f"{file.relative_to(PROJECT)} ".encode() + file.read_bytes())
    names = sorted(name for name in os.environ if name.startswith("MARTS_"))
    digest.update("".join(f"{name}={os.environ[name]}\n" for name in names).encode())
    return digest.hexdigest()[:16]


def _sentence(result: dbtRunnerResult) -> str:
    return " ".join(str(result.exception).split())[:2000] if result.exception else "it gave no reason"


def _node(found: Any) -> dict[str, Any]:
    node = found.node
    attached = getattr(node, "attached_node", None)
    return {
        "name": node.name,
        "kind": str(node.resource_type),
        "status": str(found.status),
        "message": " ".join((found.message or "").split()),
        "seconds": found.execution_time,
        "failures": found.failures,
        "model": attached.split(".")[-1] if attached else None,
    }


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
