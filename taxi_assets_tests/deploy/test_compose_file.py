"""The text of docker-compose.yaml and of the Dockerfile: what they refer to is there, and nothing is left open."""

import fnmatch
import importlib.resources
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from taxi_assets.runtime import code_server
from taxi_assets.settings import PROJECT_ROOT, TLC_SOURCE, VARIABLES, Settings
from taxi_assets_tests.support.compose_file import (
    COMPOSE,
    DATABASES,
    DOCKERFILE,
    EMULATORS,
    REQUIRED,
    SERVICES,
    WORKERS,
    RequiredVariableError,
    compose,
    copies,
    mentions,
)


def named_volumes(service: dict[str, Any]) -> list[str]:
    """Return the volumes that outlive a container, as `name:target`."""
    volumes = service.get("volumes", [])
    return [volume for volume in volumes if isinstance(volume, str) and not volume.startswith("/")]


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
    used: dict[str, set[str]] = {"volumes": set(), "configs": set(), "networks": set()}
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        used["volumes"] |= {volume.split(":")[0] for volume in named_volumes(service)}
        used["configs"] |= {entry["source"] for entry in service.get("configs", [])}
        used["networks"] |= set(service["networks"]) - {"default"}
    assert used == {kind: set(config[kind]) for kind in used}
    assert all((PROJECT_ROOT / entry["file"]).is_file() for entry in config["configs"].values())


def test_only_the_key_of_google_is_mounted_from_the_host_and_only_where_steps_run() -> None:
    config = compose(GOOGLE_APPLICATION_CREDENTIALS="/etc/taxi/key.json")["services"]
    mounts = {name: volume for name in config for volume in config[name].get("volumes", []) if isinstance(volume, dict)}
    assert set(mounts) == {"code", "worker"}
    for name, mount in mounts.items():
        assert mount["source"] == "/etc/taxi/key.json"
        assert mount["read_only"]
        assert not mount["bind"]["create_host_path"]
        assert mount["target"] == config[name]["environment"]["GOOGLE_APPLICATION_CREDENTIALS"]


@pytest.mark.parametrize("name", [*DATABASES, *SERVICES, *WORKERS])
def test_service_is_pinned_checked_bounded_and_restarted(name: str) -> None:
    service = compose()["services"][name]
    assert re.fullmatch(r"[\w-]+:\d+(\.\d+)+", service["image"])
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["logging"] == {"driver": "local", "options": {"max-size": "10m", "max-file": "5"}}
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("cap_drop") == (None if name in DATABASES else ["ALL"])
    assert {entry["condition"] for entry in service.get("depends_on", {}).values()} <= {"service_healthy"}


def test_no_service_is_missing_here() -> None:
    assert set(compose()["services"]) == {*DATABASES, *SERVICES, *WORKERS}


def test_nothing_needs_what_is_of_a_profile_without_it() -> None:
    services = compose()["services"]
    profiles = {name: service["profiles"] for name, service in services.items() if "profiles" in service}
    assert profiles == {name: ["local"] for name in EMULATORS} | {name: ["workers"] for name in WORKERS}
    for name, service in services.items():
        needed = {other for other, entry in service.get("depends_on", {}).items() if entry.get("required", True)}
        assert all(profiles.get(other) in (None, profiles.get(name)) for other in needed)


def test_the_gateway_alone_is_published_and_without_a_host_name_on_loopback() -> None:
    published = {name: service["ports"] for name, service in compose()["services"].items() if "ports" in service}
    assert published == {"gateway": ["127.0.0.1:3000:80", "127.0.0.1:3443:443"]}
    public = compose(GATEWAY_HOST="taxi.example.org", GATEWAY_HTTP="80", GATEWAY_HTTPS="443")["services"]["gateway"]
    assert public["ports"] == ["80:80", "443:443"]
    assert public["environment"]["GATEWAY_HOST"] == "taxi.example.org"


def test_only_the_gateway_and_what_runs_steps_have_a_way_out() -> None:
    config = compose()
    assert {name for name, service in config["services"].items() if "default" in service["networks"]} == {
        "gateway",
        "code",
        "worker",
    }
    assert config["services"]["gateway"]["networks"] == ["default", "front"]
    assert all(network == {"internal": True} for network in config["networks"].values())


@pytest.mark.parametrize("name", REQUIRED)
def test_required_variable_is_asked_for_by_name(name: str) -> None:
    with pytest.raises(RequiredVariableError, match=f"{name}: Set {name} in .env.* to .{{20,}}"):
        compose(**{name: ""})


def test_no_other_variable_is_required_and_none_has_a_password_as_default() -> None:
    assert {name for name, kind, _ in mentions() if kind == "?"} == set(REQUIRED)
    assert {(name, rest) for name, kind, rest in mentions() if kind == "-" and rest} == {
        ("GATEWAY_HOST", "http://"),
        ("GATEWAY_HTTP", "127.0.0.1:3000"),
        ("GATEWAY_HTTPS", "127.0.0.1:3443"),
        # No key is needed with the profile `local`.
        ("GOOGLE_APPLICATION_CREDENTIALS", "/dev/null"),
    }
    assert all(kind for _, kind, _ in mentions())


def test_every_variable_is_described_in_env_example() -> None:
    described = set(re.findall(r"^(?:# )?(\w+)=", (PROJECT_ROOT / ".env.example").read_text(), re.MULTILINE))
    assert {name for name, _, _ in mentions()} <= described


@pytest.mark.parametrize("env", ["cloud", "local"])
def test_code_gets_only_settings_that_it_knows(env: str) -> None:
    environment = compose(TAXI_ENV=env)["services"]["code"]["environment"]
    assert {name for name in environment if name.startswith("TAXI_")} <= set(VARIABLES)
    settings = Settings.from_environment(environment)
    assert (settings.env, settings.bigquery_dataset) == (env, "taxi")
    hosts = (settings.storage_emulator_host, settings.bigquery_emulator_host)
    emulators = ("http://storage-emulator:9023", "http://bigquery-emulator:9050")
    assert hosts == ((None, None) if env == "cloud" else emulators)
    assert settings.source == (TLC_SOURCE if env == "cloud" else "sample")


def test_every_setting_can_be_made_in_compose() -> None:
    # The rest are of `taxi up`: nothing of the file listens where they say.
    laptop = {"TAXI_UI_PORT", "TAXI_GCS_PORT", "TAXI_BIGQUERY_PORT", "TAXI_BIGQUERY_GRPC_PORT"}
    assert set(VARIABLES) - laptop <= set(compose()["services"]["code"]["environment"])


def test_only_code_holds_the_keys_of_sources_and_sinks() -> None:
    for name in ("webserver", "webserver-read-only", "daemon"):
        assert set(compose()["services"][name]["environment"]) == {"DAGSTER_POSTGRES_URL", "DAGSTER_LOCAL_DIR"}


@pytest.mark.parametrize(
    ("key", "said"),
    [("", "there is no key file. Set GOOGLE_APPLICATION_CREDENTIALS"), (None, "No such file"), ("{}", None)],
)
def test_code_server_asks_for_the_key_in_the_cloud_alone(key: str | None, said: str | None, tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    if key is not None:
        path.write_text(key)
    environment = {"TAXI_ENV": "cloud", "GOOGLE_APPLICATION_CREDENTIALS": str(path)}
    found = code_server.key_fault(environment)
    assert found is None if said is None else said in found
    assert code_server.key_fault(environment | {"TAXI_ENV": "local"}) is None


# The image.


def test_image_copies_what_is_there_and_sees_nothing_else() -> None:
    allowed = [line[1:] for line in (PROJECT_ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(copies()) == sorted(allowed)
    assert all((PROJECT_ROOT / path).exists() for path in allowed)
    assert not any(fnmatch.fnmatch(name, pattern) for pattern in allowed for name in (".env", ".taxi", "key.json"))


def test_image_is_pinned_has_no_dev_extras_and_does_not_run_as_root() -> None:
    text = DOCKERFILE.read_text()
    build, final = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert build == final
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-bookworm", final)
    assert "-c constraints.txt" in text
    assert "[dev]" not in text
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["taxi"]


def test_image_by_itself_is_a_code_server_that_is_checked() -> None:
    text = DOCKERFILE.read_text()
    [check, command] = [json.loads(found) for found in re.findall(r"^(?:    )?CMD (\[.+\])$", text, re.MULTILINE)][::-1]
    code = compose()["services"]["code"]
    # The file in front in compose's is for the runs of its container; elsewhere a run is a container of its own.
    assert command == code["command"][3:]
    assert check == code["healthcheck"]["test"][1:]


def test_volumes_of_our_image_are_folders_that_it_gives_to_its_user() -> None:
    [made] = re.findall(r"install -d -o taxi -g taxi (.+)$", DOCKERFILE.read_text(), re.MULTILINE)
    services = [service for service in compose()["services"].values() if service["image"].startswith("taxi-assets:")]
    volumes = [
        volume.split(":") for service in services for volume in service.get("volumes", []) if isinstance(volume, str)
    ]
    assert {(parts[1:] or parts)[0] for parts in volumes} == set(made.split())
