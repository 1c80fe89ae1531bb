"""Alerts for failed runs, and for conditions that the months sensors recorded."""

from collections.abc import Iterator
from datetime import date
from uuid import uuid4

import dagster as dg
import pytest

from taxi_assets.defs.alerts.messages import changed_conditions, condition_alerts, subject
from taxi_assets.defs.alerts.sensor import (
    RETRY_SECONDS,
    TAG_SECONDS,
    failure_alerts,
    new_failures,
)
from taxi_assets.defs.ingestion.polling import SensorState
from taxi_assets.defs.operations import active_runs

UI = "http://ui"


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run_of(instance: dg.DagsterInstance, how: str) -> str:
    """Return a failed run of an asset of green, 2024-03."""

    @dg.asset(
        key=["green", "clean_parquet"],
        partitions_def=dg.DailyPartitionsDefinition("2024-01-01"),
        check_specs=[dg.AssetCheckSpec("rows_are_conserved", asset=["green", "clean_parquet"], blocking=True)],
    )
    def clean_parquet() -> dg.MaterializeResult:
        if how == "sentence":
            raise dg.Failure("The columns of <the file>\nare not known.", allow_retries=False)
        if how == "defect":
            raise ZeroDivisionError("division by zero")
        result = dg.AssetCheckResult(check_name="rows_are_conserved", passed=False, description="3 rows are missing")
        return dg.MaterializeResult(check_results=[result])

    job = dg.Definitions([clean_parquet], jobs=[dg.define_asset_job("green_month_job")]).resolve_job_def(
        "green_month_job"
    )
    result = job.execute_in_process(instance=instance, partition_key="2024-03-01", raise_on_error=False)
    assert not result.success
    return result.run_id


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("sentence", "green/clean_parquet: The columns of <the file> are not known."),
        ("check", "Check rows_are_conserved of green/clean_parquet failed: 3 rows are missing"),
        ("defect", "green/clean_parquet: ZeroDivisionError: division by zero"),
    ],
)
def test_a_failed_run_says_which_month_where_and_why(instance: dg.DagsterInstance, how: str, why: str):
    after = instance.event_log_storage.get_maximum_record_id() or 0
    run_id = run_of(instance, how)
    after, failed = new_failures(instance, after)
    assert failed == [run_id]
    assert new_failures(instance, after) == (after, [])
    instance.add_run_tags(run_id, {"dagster/will_retry": "false"})
    [alert], waiting = failure_alerts(instance, failed, {}, 0.0, UI)
    assert (alert.title, alert.text) == ("green 2024-03 failed", why)
    assert alert.link == f"http://ui/runs/{run_id}"
    assert not waiting


class Crashed:
    """A run whose process was killed, and what becomes of it."""

    def __init__(self, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, **tags: str) -> None:
        self.instance, self.run_id = instance, str(uuid4())
        run = dg.DagsterRun("green_month_job", self.run_id, tags={"dagster/partition": "2024-03-01", **tags})
        instance.add_run(run)
        instance.report_run_failed(run, "its process was killed")
        # The instance in memory has no run retries, and so gave no verdict.
        monkeypatch.setattr(type(instance), "run_retries_enabled", True)
        self.waiting: dict[str, float] = {}
        self.failed = [self.run_id]

    def tick(self, now: float) -> list[str]:
        alerts, self.waiting = failure_alerts(self.instance, self.failed, self.waiting, now, UI)
        self.failed = []
        return [f"{alert.title}: {alert.text}" for alert in alerts]

    def tag(self, name: str, value: str) -> None:
        self.instance.add_run_tags(self.run_id, {f"dagster/{name}": value})


def test_a_run_that_is_taken_up_again_is_not_alerted(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch):
    run = Crashed(instance, monkeypatch)
    run.tag("will_retry", "true")
    assert not run.tick(0.0)
    assert set(run.waiting) == {run.run_id}
    run.tag("auto_retry_run_id", "another")
    assert not run.tick(30.0)
    assert not run.waiting


def test_the_last_attempt_is_alerted_with_their_number(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch):
    run = Crashed(instance, monkeypatch, **{"dagster/retry_number": "2"})
    run.tag("will_retry", "false")
    assert run.tick(0.0) == ["green 2024-03 failed (run 3 times): The run failed: its process was killed"]
    assert not run.waiting


def test_a_retry_that_never_comes_is_alerted(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch):
    run = Crashed(instance, monkeypatch)
    run.tag("will_retry", "true")
    assert not run.tick(0.0)
    assert not run.tick(RETRY_SECONDS - 1)
    assert len(run.tick(RETRY_SECONDS + 1)) == 1


def test_a_retry_that_is_called_off_is_alerted(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch):
    run = Crashed(instance, monkeypatch)
    run.tag("will_retry", "true")
    assert not run.tick(0.0)
    run.tag("will_retry", "false")
    assert len(run.tick(30.0)) == 1


def test_a_run_without_a_verdict_is_alerted_after_a_moment(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    run = Crashed(instance, monkeypatch)
    assert not run.tick(0.0)
    assert len(run.tick(TAG_SECONDS + 1)) == 1


def test_the_subject_may_have_an_underscore_in_its_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(active_runs, "DATASETS", {"green_plus": None})
    assert subject(dg.DagsterRun("green_plus_month_job")) == "green_plus"


def test_the_subject_is_what_the_run_is_about():
    assert subject(dg.DagsterRun("green_month_job", tags={"dagster/partition": "2024-03-01"})) == "green 2024-03"
    assert subject(dg.DagsterRun("housekeeping_job")) == "housekeeping_job"


DOWN = SensorState(failures=2, trouble="HTTP 503.")
FINE = SensorState()


def titles(reported: frozenset[str], **by_dataset: SensorState) -> tuple[frozenset[str], list[str]]:
    reported, alerts = changed_conditions(reported, condition_alerts(by_dataset), UI)
    return reported, [alert.title for alert in alerts]


def test_a_source_that_is_down_is_told_once_for_all_datasets_and_once_when_it_is_back():
    reported, first = titles(frozenset(), green=SensorState(failures=1, trouble="HTTP 503."), yellow=FINE)
    assert first == []
    reported, second = titles(reported, green=DOWN, yellow=FINE)
    assert second == ["The source is down"]
    for green, yellow in ((DOWN, DOWN), (FINE, DOWN)):
        reported, more = titles(reported, green=green, yellow=yellow)
        assert more == []
    reported, last = titles(reported, green=FINE, yellow=FINE)
    assert last == ["The source is back"]
    assert titles(reported, green=FINE, yellow=FINE) == (frozenset(), [])


def test_an_overdue_month_is_told_once():
    late = SensorState(overdue=frozenset({date(2024, 3, 1)}))
    reported, first = titles(frozenset(), green=late)
    assert first == ["green 2024-03 is overdue"]
    later = SensorState(overdue=frozenset({date(2024, 3, 1), date(2024, 4, 1)}))
    reported, second = titles(reported, green=later)
    assert second == ["green 2024-04 is overdue"]
    assert titles(reported, green=FINE)[1] == []


def test_the_alert_says_what_the_source_said():
    found = condition_alerts({"green": DOWN, "yellow": DOWN})
    assert found["source"].text.splitlines()[0] == "Requests for months of green, yellow failed: HTTP 503."
