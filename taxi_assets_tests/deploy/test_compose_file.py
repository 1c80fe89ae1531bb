"""The text of docker-compose.yaml and of the Dockerfile: what they refer to is there, and nothing is left open."""

import fnmatch
import importlib.resources
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from taxi_assets.settings import PROJECT_ROOT, VARIABLES, Settings
from taxi_assets_tests.compose_file import (
    COMPOSE,
    DAGSTER_SERVICES,
    DOCKERFILE,
    REQUIRED,
    RequiredVariable,
    compose,
    copies,
    mentions,
)


def test_file_follows_the_compose_specification() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="comes with check-jsonschema, which is not installed")
    pytest.importorskip("check_jsonschema", reason="it brings the specification's schema and is not installed")
    folder = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    jsonschema.validate(compose(), json.loads((folder / "compose-spec.json").read_text()))


def test_docker_compose_accepts_the_file(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True, timeout=30).returncode:
        pytest.skip("there is no docker client with the compose plugin")
    done = subprocess.run(
        [docker, "compose", "-f", str(COMPOSE), "--env-file", os.devnull, "config", "--quiet"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **REQUIRED},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_names_that_the_file_refers_to_are_there() -> None:
    config = compose()
    services = config["services"]
    mounted = set()
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        for volume in service["volumes"]:
            if isinstance(volume, str):
                mounted.add(volume.split(":")[0])
            else:
                # The only path of the host is the user's key; nothing of the project is mounted.
                assert volume["source"] == REQUIRED["GOOGLE_APPLICATION_CREDENTIALS"]
                assert volume["read_only"] and not volume["bind"]["create_host_path"]
                assert volume["target"] == service["environment"]["GOOGLE_APPLICATION_CREDENTIALS"]
    assert mounted == set(config["volumes"])


@pytest.mark.parametrize("name", ["dagster-postgres", "warehouse-postgres", *DAGSTER_SERVICES])
def test_service_is_pinned_checked_and_restarted(name: str) -> None:
    service = compose()["services"][name]
    assert re.fullmatch(r"[\w-]+:\d+(\.\d+)+", service["image"])
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert all(entry == {"condition": "service_healthy"} for entry in service.get("depends_on", {}).values())


def test_no_service_is_missing_here() -> None:
    assert set(compose()["services"]) == {"dagster-postgres", "warehouse-postgres", *DAGSTER_SERVICES}


def test_only_the_ui_is_published_and_on_loopback_alone() -> None:
    published = {name: service["ports"] for name, service in compose()["services"].items() if "ports" in service}
    assert published == {"webserver": ["127.0.0.1:3000:3000"]}
    assert compose(TAXI_UI_PORT="8080")["services"]["webserver"]["ports"] == ["127.0.0.1:8080:3000"]


@pytest.mark.parametrize("name", REQUIRED)
def test_required_variable_is_asked_for_by_name(name: str) -> None:
    with pytest.raises(RequiredVariable, match=f"{name}: Set {name} in .env to .{{20,}}"):
        compose(**{name: ""})


def test_no_other_variable_is_required_and_none_has_a_password_as_default() -> None:
    assert {name for name, kind, _ in mentions() if kind == "?"} == set(REQUIRED)
    assert {rest for _, kind, rest in mentions() if kind == "-"} == {"", "3000"}
    assert all(kind for _, kind, _ in mentions())


def test_every_variable_is_described_in_env_example() -> None:
    described = set(re.findall(r"^(?:# )?(\w+)=", (PROJECT_ROOT / ".env.example").read_text(), re.MULTILINE))
    assert {name for name, _, _ in mentions()} <= described


def test_code_gets_only_settings_that_it_knows() -> None:
    environment = compose()["services"]["code"]["environment"]
    assert {name for name in environment if name.startswith("TAXI_")} <= set(VARIABLES)
    settings = Settings.from_environment(environment)
    assert (settings.env, settings.bigquery_dataset, settings.storage_emulator_host) == ("cloud", "taxi", None)
    assert settings.source.startswith("https://")


def test_only_code_holds_the_keys_of_sources_and_sinks() -> None:
    for name in ("webserver", "daemon"):
        assert set(compose()["services"][name]["environment"]) == {"DAGSTER_POSTGRES_URL", "DAGSTER_LOCAL_DIR"}


# The image.


def test_image_copies_what_is_there_and_sees_nothing_else() -> None:
    allowed = [line[1:] for line in (PROJECT_ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(copies()) == sorted(allowed)
    assert all((PROJECT_ROOT / path).exists() for path in allowed)
    assert not any(fnmatch.fnmatch(name, pattern) for pattern in allowed for name in (".env", ".taxi", "key.json"))


def test_image_is_pinned_has_no_dev_extras_and_does_not_run_as_root() -> None:
    text = DOCKERFILE.read_text()
    assert re.findall(r"^FROM (.+)$", text, re.MULTILINE) == ["python:3.11-slim-bookworm"]
    assert "-c constraints.txt" in text and "[dev]" not in text
    assert text.rstrip().endswith("USER taxi")


def test_volumes_of_dagster_are_folders_that_the_image_gives_to_its_user() -> None:
    [made] = re.findall(r"install -d -o taxi -g taxi (.+)$", DOCKERFILE.read_text(), re.MULTILINE)
    services = compose()["services"]
    volumes = [volume for name in DAGSTER_SERVICES for volume in services[name]["volumes"] if isinstance(volume, str)]
    assert {volume.split(":")[1] for volume in volumes} == set(made.split())


# The services, as processes.
