"""The gateway of docker-compose.yaml: who gets in, what they get, and what they cannot do."""

import base64
import http.client
import json
import re
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taxi_assets.local import processes
from taxi_assets.local.ports import LOOPBACK, free_port
from taxi_assets_tests.support.compose_file import PASSWORDS
from taxi_assets_tests.support.deployment import CADDYFILE, Deployment, login
from taxi_assets_tests.support.waiting import HANG_SECONDS, wait_for

LOCATION = {"repositoryLocationName": "taxi_assets.definitions", "repositoryName": "__repository__"}
LAUNCH = """mutation ($parameters: ExecutionParams!) { launchRun(executionParams: $parameters) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on UnauthorizedError { message } } }"""
LAUNCHED = {
    "parameters": {
        "selector": {**LOCATION, "jobName": "green_month_job"},
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": "2020-05-01"}]},
        # Invalid on purpose, so that nothing runs if it is let through.
        "runConfigData": json.dumps({"no": "such config"}),
    }
}
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec_WebSocket_Protocol": "graphql-ws",
}


def graphql(gateway: Deployment, user: str, query: str, **variables: Any) -> Any:
    body = json.dumps({"query": query, "variables": variables})
    status, _, answer = gateway.ask("POST", "/graphql", user, body, Content_Type="application/json")
    assert status == 200, (status, answer)
    return json.loads(answer)


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/graphql", "/graphql?query={version}", "/server_info", "/dagit_info", "/runs", "/robots.txt", "//"),
        *("/%2e%2e/graphql", "/logs/none/compute_logs/x/stdout", "/download_debug/x", "/notebook", "/no/such/path"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "DELETE"])
def test_nobody_gets_anything(gateway: Deployment, method: str, path: str) -> None:
    status, headers, body = gateway.ask(method, path)
    assert (status, body) == (401, b"")
    assert headers["www-authenticate"].startswith("Basic ")


def test_websocket_is_for_users_alone(gateway: Deployment) -> None:
    assert gateway.ask("GET", "/graphql", **UPGRADE)[0] == 401
    for user in ("operator", "viewer"):
        with socket.create_connection((LOOPBACK, gateway.ports["gateway"]), timeout=HANG_SECONDS) as connection:
            sent = {name.replace("_", "-"): value for name, value in UPGRADE.items()} | login(user)
            lines = ["GET /graphql HTTP/1.1", f"Host: {LOOPBACK}", *(f"{name}: {sent[name]}" for name in sent), "", ""]
            connection.sendall("\r\n".join(lines).encode())
            answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        assert b"graphql-ws" in answer, answer


@pytest.mark.parametrize(
    "sent", ["operator:viewers-password", "viewer:operators-password", "operator:", "nobody:x", ":"]
)
def test_wrong_password_is_refused(gateway: Deployment, sent: str) -> None:
    authorization = "Basic " + base64.b64encode(sent.encode()).decode()
    assert gateway.ask("GET", "/graphql", Authorization=authorization)[0] == 401


def test_health_is_asked_through_the_same_login(gateway: Deployment) -> None:
    port = gateway.port_of("2020")
    with socket.create_connection((LOOPBACK, int(port)), timeout=HANG_SECONDS) as connection:
        connection.sendall(
            f"GET /server_info HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nConnection: close\r\n\r\n".encode()
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")
    assert gateway.is_healthy("gateway")


def test_both_users_see_what_there_is(gateway: Deployment) -> None:
    for user in ("operator", "viewer"):
        answer = graphql(gateway, user, "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")
        assert answer["data"]["repositoriesOrError"]["nodes"] == [{"name": "__repository__"}]
        assert gateway.ask("GET", "/runs", user)[0] == 200


def test_only_the_operator_launches(gateway: Deployment) -> None:
    assert (
        graphql(gateway, "operator", LAUNCH, **LAUNCHED)["data"]["launchRun"]["__typename"]
        == "RunConfigValidationInvalid"
    )
    assert graphql(gateway, "viewer", LAUNCH, **LAUNCHED)["data"]["launchRun"]["__typename"] == "UnauthorizedError"


@pytest.mark.parametrize(
    ("mutation", "variables"),
    [
        (
            "mutation ($it: SensorSelector!) { startSensor(sensorSelector: $it) { __typename } }",
            {"it": {**LOCATION, "sensorName": "any"}},
        ),
        (
            "mutation ($it: ScheduleSelector!) { startSchedule(scheduleSelector: $it) { __typename } }",
            {"it": {**LOCATION, "scheduleName": "any"}},
        ),
        (
            "mutation ($it: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $it) { __typename } }",
            {"it": {"partitionNames": ["2020-05-01"], "assetSelection": [{"path": ["green", "raw_file"]}]}},
        ),
        (
            "mutation ($it: AssetKeyInput!) { wipeAssets(assetPartitionRanges: [{assetKey: $it}]) { __typename } }",
            {"it": {"path": ["green", "raw_file"]}},
        ),
        ("mutation ($it: String!) { deletePipelineRun(runId: $it) { __typename } }", {"it": "any"}),
        ("mutation ($it: String!) { terminateRun(runId: $it) { __typename } }", {"it": "any"}),
        (
            "mutation ($it: String!) { reloadRepositoryLocation(repositoryLocationName: $it) { __typename } }",
            {"it": LOCATION["repositoryLocationName"]},
        ),
    ],
)
def test_the_viewer_changes_nothing(gateway: Deployment, mutation: str, variables: dict[str, Any]) -> None:
    answer = graphql(gateway, "viewer", mutation, **variables)
    assert [found["__typename"] for found in answer["data"].values()] == ["UnauthorizedError"]


@pytest.mark.parametrize(
    "mutation",
    ["setAutoMaterializePaused(paused: true)", 'setConcurrencyLimit(concurrencyKey: "other", limit: 1)'],
)
def test_the_viewer_does_not_change_settings(gateway: Deployment, mutation: str) -> None:
    body = json.dumps({"query": f"mutation {{ {mutation} }}"})
    # Dagster has no field for this refusal, and answers 500.
    _, _, answer = gateway.ask("POST", "/graphql", "viewer", body, Content_Type="application/json")
    assert b"GrapheneUnauthorizedError" in answer
    assert "other" not in gateway.instance.event_log_storage.get_concurrency_keys()


@pytest.mark.parametrize("user", ["operator", "viewer"])
@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/graphql", {"Origin": "https://elsewhere.example"}),
        ("/graphql", {"Origin": "null"}),
        ("/", {"Origin": "https://elsewhere.example"}),
        ("/graphql", {"Origin": "https://elsewhere.example", **UPGRADE}),
        ("/graphql?query=mutation{x}", {"Sec_Fetch_Site": "cross-site"}),
        ("/graphql?query=mutation{x}", {"Sec_Fetch_Site": "same-site"}),
    ],
)
def test_another_site_cannot_use_the_browser_of_a_user(
    gateway: Deployment, user: str, path: str, headers: dict[str, str]
) -> None:
    assert gateway.ask("GET", path, user, **headers)[0] == 403


def test_the_site_itself_and_a_link_to_it_work(gateway: Deployment) -> None:
    own = f"http://{LOOPBACK}:{gateway.ports['gateway']}"
    path = "/graphql?query={version}"
    assert gateway.ask("GET", path, "viewer", Origin=own, Sec_Fetch_Site="same-origin")[0] == 200
    assert gateway.ask("GET", "/runs", "viewer", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200


def test_answers_carry_the_headers_that_browsers_obey(gateway: Deployment) -> None:
    _, headers, page = gateway.ask("GET", "/", "operator")
    assert b"<html" in page
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "server" not in headers
    # Over plain HTTP it would be ignored.
    assert "strict-transport-security" not in headers
    connection = http.client.HTTPConnection(LOOPBACK, gateway.ports["gateway"], timeout=HANG_SECONDS)
    connection.request("GET", "/", headers=login("operator"))
    policies = connection.getresponse().headers.get_all("Content-Security-Policy") or []
    assert ["script-src" in policy for policy in sorted(policies)] == [True, False]
    assert "frame-ancestors 'none'" in policies


def test_a_request_larger_than_any_query_is_refused(gateway: Deployment) -> None:
    body = json.dumps({"query": "{ version }", "variables": {"x": "x" * (11 << 20)}})
    # 502 from Debian's Caddy, which is older: the webserver misses the rest of what was announced.
    assert gateway.ask("POST", "/graphql", "operator", body, Content_Type="application/json")[0] in (413, 502)


def test_the_log_names_the_user_and_holds_no_password(gateway: Deployment) -> None:
    gateway.ask("GET", "/server_info?who=asked", "viewer")
    wait_for(lambda: "who=asked" in gateway.log("gateway").read_text(), "the log's line")
    [line] = [line for line in gateway.log("gateway").read_text().splitlines() if "who=asked" in line]
    assert json.loads(line)["user_id"] == "viewer"
    assert login("viewer")["Authorization"].split()[1] not in line
    assert PASSWORDS["viewer"] not in line


@pytest.fixture
def https(gateway: Deployment, tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Return the ports, HTTP and HTTPS, of a second gateway, which has a host name."""
    http, https = free_port(), free_port()
    text = gateway.here(CADDYFILE.read_text()).replace(f"http_port {gateway.ports['gateway']}", f"http_port {http}")
    text = re.sub(r"https_port \d+", f"https_port {https}", text).replace(gateway.port_of("2020"), str(free_port()))
    (tmp_path / "Caddyfile").write_text(text)
    # Caddy signs a certificate for this name itself; for a public one it asks Let's Encrypt.
    environment = gateway.environment("gateway") | {"GATEWAY_HOST": "localhost", "HOME": str(tmp_path)}
    command = [word.replace("/etc/caddy", str(tmp_path)) for word in gateway.config["gateway"]["command"]]
    child = processes.spawn(command, environment, tmp_path, tmp_path / "gateway.log", signal.SIGTERM)
    try:
        wait_for(lambda: child.poll() is not None or answers(https), "the gateway with a host name")
        assert child.poll() is None, processes.tail(tmp_path / "gateway.log", 20)
        yield http, https
    finally:
        child.terminate()
        child.wait(10)


def answers(port: int) -> bool:
    try:
        return bool(ask_https(port, "GET", "/"))
    except OSError:
        return False


def ask_https(port: int, method: str, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    trusting = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection("localhost", port, timeout=HANG_SECONDS, context=trusting)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    return response.status, {name.lower(): value for name, value in response.getheaders()}


def test_with_a_host_name_it_speaks_https_and_sends_http_there(https: tuple[int, int]) -> None:
    plain, encrypted = https
    assert ask_https(encrypted, "GET", "/graphql")[0] == 401
    status, headers = ask_https(encrypted, "GET", "/", **login("viewer"))
    assert (status, headers["strict-transport-security"]) == (200, "max-age=31536000")
    connection = http.client.HTTPConnection("localhost", plain, timeout=HANG_SECONDS)
    connection.request("GET", "/runs", headers=login("viewer"))
    response = connection.getresponse()
    assert response.status == 308
    assert (response.getheader("Location") or "").startswith("https://localhost")
