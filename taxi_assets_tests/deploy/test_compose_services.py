"""docker-compose.yaml without Docker: its services run as processes and carry a month to the warehouse."""

import dagster as dg
import psycopg

from taxi_assets.local import processes
from taxi_assets_tests.support.deployment import Deployment
from taxi_assets_tests.support.waiting import wait_for


def test_webserver_shows_the_code_of_the_code_server(deployment: Deployment) -> None:
    answer = deployment.graphql(
        """{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus locationOrLoadError {
            __typename ... on RepositoryLocation { repositories { name jobs { name } } } } } } } }"""
    )
    [entry] = answer["workspaceOrError"]["locationEntries"]
    assert (entry["name"], entry["loadStatus"]) == ("taxi_assets.definitions", "LOADED")
    [repository] = entry["locationOrLoadError"]["repositories"]
    assert {"yellow_month_job", "green_month_job"} <= {job["name"] for job in repository["jobs"]}


def test_daemon_reports_to_the_webserver(deployment: Deployment) -> None:
    query = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
    statuses = deployment.graphql(query)["instance"]["daemonHealth"]["allDaemonStatuses"]
    assert [status for status in statuses if status["required"] and not status["healthy"]] == []
    assert "QUEUED_RUN_COORDINATOR" in {status["daemonType"] for status in statuses if status["healthy"]}


def test_month_reaches_the_warehouse_even_if_the_code_server_is_killed_on_the_way(deployment: Deployment) -> None:
    answer = deployment.graphql(
        """mutation ($parameters: ExecutionParams!) { launchRun(executionParams: $parameters) {
            __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }""",
        parameters={
            "selector": {
                "repositoryLocationName": "taxi_assets.definitions",
                "repositoryName": "__repository__",
                "jobName": "green_month_job",
            },
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": "2020-04-01"}]},
        },
    )
    assert answer["launchRun"]["__typename"] == "LaunchRunSuccess", answer
    killed = answer["launchRun"]["run"]["runId"]
    wait_for(lambda: deployment.status(killed) is dg.DagsterRunStatus.STARTED, "the run")
    # It runs in the code server's session: this ends both, as the end of a container would.
    deployment.kill("code")
    deployment.start("code")
    wait_for(lambda: deployment.status(killed) is dg.DagsterRunStatus.FAILURE, "the end of the killed run")

    def retries() -> list[dg.DagsterRun]:
        return [run for run in deployment.instance.get_runs() if run.parent_run_id == killed]

    wait_for(lambda: bool(retries()) and retries()[0].is_finished, "its retry")
    assert [run.status for run in retries()] == [dg.DagsterRunStatus.SUCCESS], processes.tail(
        deployment.log("code"), 30
    )
    # In the code server's folders: it ran there, and the webserver finds its output in the volume they share.
    assert list((deployment.folder / "taxi" / "cache").rglob("green_trips_2020-04.parquet"))
    assert list((deployment.folder / "dagster").rglob("*.err"))
    with psycopg.connect(deployment.environment("code")["TAXI_POSTGRES_URL"]) as connection:
        row = connection.execute("SELECT count(*) FROM taxi.green_trips").fetchone()
        assert row is not None
        assert 900 < row[0] <= 1000


def test_nothing_is_written_where_the_image_belongs_to_root(deployment: Deployment) -> None:
    files = {path.name for path in (deployment.folder / "home").rglob("*") if path.is_file()}
    assert files == {"dagster.yaml", "workspace.yaml", "Caddyfile"}
