"""Which failed runs are requested again: those that Dagster leaves alone because their backfill is completed."""

from collections.abc import Iterator

import dagster as dg
import pytest

from taxi_assets.defs.alerts.sensor import is_started_again
from taxi_assets.defs.operations.restarts import is_left_alone, retries_left, run_key
from taxi_assets.runtime.dagster_internals import BulkActionStatus
from taxi_assets.runtime.names import month_job_name

TAGS = {"dagster/backfill": "mine", "dagster/partition": "2020-04-01"}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run_of(instance: dg.DagsterInstance, name: str, tags: dict[str, str]) -> dg.DagsterRun:
    @dg.job(name=name)
    def job() -> None:
        """Do nothing."""

    return instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.FAILURE)


@pytest.mark.parametrize(
    ("status", "name", "tags", "expected"),
    [
        ("COMPLETED", month_job_name("green"), TAGS, True),
        ("REQUESTED", month_job_name("green"), TAGS, False),
        ("CANCELED", month_job_name("green"), TAGS, False),
        ("COMPLETED", "another_job", TAGS, False),
        ("COMPLETED", month_job_name("green"), TAGS | {"dagster/backfill": "deleted"}, False),
        ("COMPLETED", month_job_name("green"), {}, False),
    ],
)
def test_runs_of_a_completed_backfill(
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    name: str,
    tags: dict[str, str],
    expected: bool,
):
    class Backfill:
        def __init__(self) -> None:
            self.status = BulkActionStatus[status]

    monkeypatch.setattr(instance, "get_backfill", {"mine": Backfill()}.get)
    run = run_of(instance, name, tags)
    assert is_left_alone(instance, run) is expected
    run_of(instance, name, {"dagster/parent_run_id": run.run_id})
    assert not is_left_alone(instance, run), "somebody has started it again"


def test_a_run_that_was_requested_again_is_no_news(instance: dg.DagsterInstance):
    run = run_of(instance, month_job_name("green"), TAGS)
    assert not is_started_again(instance, run)
    run_of(instance, month_job_name("green"), {"dagster/run_key": run_key(run.run_id)})
    assert is_started_again(instance, run)


@pytest.mark.parametrize(
    ("settings", "tags", "expected"),
    [
        ({"enabled": True, "max_retries": 2}, {}, 2),
        ({"enabled": True, "max_retries": 2}, {"dagster/retry_number": "1"}, 1),
        ({"enabled": True, "max_retries": 2}, {"dagster/max_retries": "0"}, 0),
        ({"enabled": True, "max_retries": 2}, {"dagster/max_retries": "many"}, 2),
        ({"enabled": True, "max_retries": 0}, {}, 0),
        ({"enabled": False, "max_retries": 2}, {}, 0),
    ],
)
def test_how_often_a_run_may_be_started_again(settings: dict[str, object], tags: dict[str, str], expected: int):
    with dg.DagsterInstance.ephemeral(settings={"run_retries": settings}) as instance:
        assert retries_left(instance, run_of(instance, month_job_name("green"), TAGS | tags)) == expected
