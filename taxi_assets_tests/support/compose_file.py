"""docker-compose.yaml as compose reads it, and what the Dockerfile copies, for the tests of both."""

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from taxi_assets.settings import PROJECT_ROOT

COMPOSE = PROJECT_ROOT / "docker-compose.yaml"
DOCKERFILE = PROJECT_ROOT / "Dockerfile"
# A doubled dollar sign is one that the container's shell is to see.
VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?::([-?])([^}]*))?\}")
# Those whose hashes are below, made by `caddy hash-password`.
PASSWORDS = {"operator": "operators-password", "viewer": "viewers-password"}
# What the file needs, and nothing that it could do without.
REQUIRED = {
    "TAXI_ENV": "cloud",
    "DAGSTER_POSTGRES_PASSWORD": "d4gster",
    "WAREHOUSE_POSTGRES_PASSWORD": "w4rehouse",
    "WAREHOUSE_READER_PASSWORD": "re4der",
    "TAXI_GCP_PROJECT": "a-project",
    "TAXI_GCS_BUCKET": "a-bucket",
    "GATEWAY_USER": "operator",
    "GATEWAY_PASSWORD_HASH": "$2a$08$0i5vrQt5JiuGOwbUgRuoEuqsbDt67OExlRZzJ0Us6N8KB39U3WKXm",
    "GATEWAY_READER": "viewer",
    "GATEWAY_READER_PASSWORD_HASH": "$2a$08$kjMbnaame/w.GpL7fbWuC.EZjENOrZR./EBxiRxNLoL.2wet9L5V.",
}
DATABASES = ("dagster-postgres", "warehouse-postgres")
DAGSTER_SERVICES = ("code", "webserver", "webserver-read-only", "daemon")
EMULATORS = ("storage-emulator", "bigquery-emulator")
# What is run as a process by the tests; the embedded PostgreSQL stands in for the databases.
SERVICES = (*EMULATORS, *DAGSTER_SERVICES, "gateway")
# Of a profile of their own, started by test_workers.py alone.
WORKERS = ("redis", "worker", "flower")


class RequiredVariableError(Exception):
    """What compose says of `${NAME:?sentence}` when NAME is not set."""


def interpolate(node: Any, values: Mapping[str, str]) -> Any:
    """Return the node with compose's three forms of variables replaced."""
    if isinstance(node, dict):
        return {key: interpolate(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [interpolate(value, values) for value in node]
    return VARIABLE.sub(lambda match: _value(match, values), node) if isinstance(node, str) else node


def _value(match: re.Match[str], values: Mapping[str, str]) -> str:
    name, kind, rest = match.groups()
    if name is None:
        return "$"
    if not values.get(name) and kind == "?":
        raise RequiredVariableError(f"{name}: {rest}")
    return values.get(name) or (rest if kind == "-" else "")


def compose(**values: str) -> dict[str, Any]:
    """Return the file as compose would understand it with these variables."""
    return interpolate(yaml.safe_load(COMPOSE.read_text()), REQUIRED | values)


def mentions() -> list[tuple[str, str | None, str]]:
    """Name, `-` or `?` or nothing, and the text after it, for each variable in the file's values."""
    found = VARIABLE.finditer(json.dumps(yaml.safe_load(COMPOSE.read_text())))
    return [match.groups() for match in found if match[1]]


def copies() -> dict[str, str]:
    """Target of each path that the Dockerfile copies."""
    found = {}
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE.read_text(), re.MULTILINE):
        *sources, target = line.split()
        found |= dict.fromkeys(sources, target)
    return found
