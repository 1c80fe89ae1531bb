"""Requests to the webserver of a workbench, as its UI makes them."""

import time
from typing import Any

import requests

from benchmarks.workbench import LOCATION, Workbench

LIMIT_SECONDS = 900.0
REPOSITORY = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}
LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
BACKFILL = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


def request(bench: Workbench, query: str, **variables: Any) -> Any:
    """Return the data of the webserver's answer."""
    body = {"query": query, "variables": variables}
    response = requests.post(f"{bench.settings.ui_url}/graphql", json=body, timeout=LIMIT_SECONDS)
    response.raise_for_status()
    return response.json()["data"]


def backfill(bench: Workbench, job: str, partitions: list[str]) -> None:
    """Request a backfill.

    Raises:
        SystemExit: It was not accepted.
    """
    selector = {"partitionSetName": f"{job}_partition_set", "repositorySelector": REPOSITORY}
    answer = request(bench, BACKFILL, params={"selector": selector, "partitionNames": partitions})
    if "backfillId" not in answer["launchPartitionBackfill"]:
        raise SystemExit(f"The backfill of {job} was not accepted: {answer}")


def run_seconds(bench: Workbench, job: str, partition: str | None = None) -> float:
    """Return the seconds of a run through the queue and the daemon, from its launch to its success.

    Raises:
        SystemExit: It failed or did not end.
    """
    tags = {"tags": [{"key": "dagster/partition", "value": partition}] if partition else []}
    started = time.perf_counter()
    params = {"selector": {**REPOSITORY, "jobName": job}, "executionMetadata": tags}
    answer = request(bench, LAUNCH, params=params)["launchRun"]
    status = ""
    while status != "SUCCESS":
        if "run" not in answer or status in ("FAILURE", "CANCELED") or time.perf_counter() - started > LIMIT_SECONDS:
            raise SystemExit(f"The run of {job} did not succeed: {answer} {status}")
        time.sleep(0.05)
        status = request(bench, STATUS, id=answer["run"]["runId"])["runOrError"]["status"]
    return time.perf_counter() - started
