"""The sensor `alerts_sensor`: sends alerts for failed runs, overdue months and a source that is down.

It starts no runs. It reads what runs and the months sensors recorded, so that an alert that cannot be sent fails
neither of them.
"""

import time
from collections.abc import Iterable, Mapping

import dagster as dg

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.alerts.messages import changed_conditions, condition_alerts, failure_alert
from taxi_assets.defs.alerts.outbox import AlertState, PendingAlert, deliver
from taxi_assets.defs.ingestion.polling import SensorState
from taxi_assets.defs.ingestion.sensors import months_sensor_name
from taxi_assets.defs.operations.restarts import run_key
from taxi_assets.notifications.notifier import Alert, Notifier
from taxi_assets.runtime.dagster_internals import InstigatorStatus, InstigatorType, SensorInstigatorData

INTERVAL_SECONDS = 30
# A tick must end within the minute that Dagster gives it, and one message may take ten seconds a channel.
SENDING_SECONDS = 25.0
FAILURES_PER_TICK = 25
# Dagster's daemon retries a failed run within seconds. After this time it has not.
RETRY_SECONDS = 900.0
# Dagster tags a failed run right after the event of its failure.
TAG_SECONDS = 60.0


def build_alerts_sensor(ui_url: str, interval_seconds: int = INTERVAL_SECONDS) -> dg.SensorDefinition:
    """Build the sensor; `ui_url` is the address of the UI, for links."""

    @dg.sensor(
        name="alerts_sensor",
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Alerts by webhook and e-mail: failed runs and checks, overdue months, a source that is down.",
    )
    def alerts_sensor(context: dg.SensorEvaluationContext, notifier: Notifier) -> dg.SensorResult:
        started, now = time.monotonic(), time.time()
        state = _restored_state(context)
        after, failed = new_failures(context.instance, state.after)
        failures, waiting = failure_alerts(context.instance, failed, state.waiting, now, ui_url)
        reported, changes = changed_conditions(
            state.reported, condition_alerts(sensor_states(context.instance)), ui_url
        )
        alerts = [*failures, *changes]
        channels = tuple(notifier.channels)
        for alert in alerts:
            # Without a channel, the log of the tick is the only record.
            context.log.warning(f"Alert: {alert.title}. {alert.text} {alert.link or ''}")
        outbox = (*state.outbox, *(PendingAlert(alert, channels) for alert in alerts if channels))
        left = deliver(
            outbox,
            notifier.send,
            now,
            in_time=lambda: time.monotonic() - started < SENDING_SECONDS,
            log_failure=context.log.error,
        )
        return dg.SensorResult(
            cursor=AlertState(after, waiting, reported, left).to_json(),
            skip_reason=dg.SkipReason(f"{len(alerts)} new alerts, {len(left)} still to be sent."),
        )

    return alerts_sensor


def _restored_state(context: dg.SensorEvaluationContext) -> AlertState:
    state = AlertState.from_json(context.cursor)
    if state is not None:
        return state
    if context.cursor:
        context.log.warning("The cursor cannot be read and is replaced; failures until now are not alerted.")
    return AlertState(context.instance.event_log_storage.get_maximum_record_id() or 0)


def new_failures(instance: dg.DagsterInstance, after: int) -> tuple[int, list[str]]:
    """Return the event id to continue from, and the ids of runs that failed after the event `after`."""
    found = instance.fetch_run_status_changes(
        dg.RunStatusChangeRecordsFilter(dg.DagsterEventType.RUN_FAILURE, after_storage_id=after),
        limit=FAILURES_PER_TICK,
        ascending=True,
    ).records
    return (found[-1].storage_id if found else after), [record.event_log_entry.run_id for record in found]


def failure_alerts(
    instance: dg.DagsterInstance, failed: Iterable[str], waiting: Mapping[str, float], now: float, ui_url: str
) -> tuple[list[Alert], dict[str, float]]:
    """Return an alert for each run that failed for good, and when each run that may be retried failed."""
    alerts, still = [], {}
    for run_id, since in (dict.fromkeys(failed, now) | dict(waiting)).items():
        run = instance.get_run_by_id(run_id)
        if run is None or run.status is not dg.DagsterRunStatus.FAILURE or is_started_again(instance, run):
            continue
        will_retry = run.tags.get("dagster/will_retry", "unknown" if instance.run_retries_enabled else "false")
        if now - since < {"true": RETRY_SECONDS, "unknown": TAG_SECONDS}.get(will_retry, 0.0):
            still[run_id] = since
            continue
        kinds = {
            dg.DagsterEventType.STEP_FAILURE,
            dg.DagsterEventType.ASSET_CHECK_EVALUATION,
            dg.DagsterEventType.RUN_FAILURE,
        }
        alerts.append(failure_alert(run, instance.all_logs(run_id, of_type=kinds), ui_url))
    return alerts, still


def is_started_again(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Return whether Dagster or the restart sensor has requested another run in place of this one."""
    if "dagster/auto_retry_run_id" in run.tags:
        return True
    return bool(instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": run_key(run.run_id)}), limit=1))


def sensor_states(instance: dg.DagsterInstance) -> dict[str, SensorState]:
    """Return the state of each dataset's running months sensor, by dataset."""
    names = {months_sensor_name(name): name for name in DATASETS}
    found = {}
    for instigator in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
        data = instigator.instigator_data
        if instigator.name not in names or instigator.status is InstigatorStatus.STOPPED:
            continue
        state = SensorState.from_json(data.cursor if isinstance(data, SensorInstigatorData) else None)
        if state is not None:
            found[names[instigator.name]] = state
    return found
