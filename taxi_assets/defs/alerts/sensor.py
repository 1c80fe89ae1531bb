"""The sensor `alerts_sensor`: tells people of runs that failed, of months that are overdue, of a source that is down.

It starts no runs. It looks at what runs and the months' sensors left behind, so that an alert that cannot be sent
fails neither.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    EventLogEntry,
    RunStatusChangeRecordsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.alerts.outbox import AlertState, PendingAlert, deliver
from taxi_assets.defs.ingestion.polling import GRACE_DAYS, LAG_MONTHS, SensorState
from taxi_assets.defs.ingestion.sensors import months_sensor_name
from taxi_assets.defs.operations.active_runs import datasets_of
from taxi_assets.months import month_text
from taxi_assets.notifications.notifier import Alert, Notifier
from taxi_assets.runtime.dagster_internals import InstigatorStatus, InstigatorType, SensorInstigatorData

INTERVAL_SECONDS = 30
# A tick must end within the minute that Dagster gives it, and one message may take ten seconds a channel.
SENDING_SECONDS = 25.0
FAILURES_A_TICK = 25
# Dagster's daemon takes up a failed run within seconds; after this it has not.
RETRY_SECONDS = 900.0
# Dagster tags a failed run right after the event of its failure.
TAG_SECONDS = 60.0
MAX_SENTENCE = 600
_SOURCE = "source"


def build_alerts_sensor(ui_url: str, interval_seconds: int = INTERVAL_SECONDS) -> SensorDefinition:
    """The sensor; `ui_url` is where people open the UI, for the links."""

    @sensor(
        name="alerts_sensor",
        minimum_interval_seconds=interval_seconds,
        default_status=DefaultSensorStatus.RUNNING,
        description="Alerts by webhook and e-mail: failed runs and checks, overdue months, a source that is down.",
    )
    def alerts_sensor(context: SensorEvaluationContext, notifier: Notifier) -> SensorResult:
        began, now = time.monotonic(), time.time()
        ledger = AlertState.from_json(context.cursor)
        if ledger is None:
            if context.cursor:
                context.log.warning("The cursor cannot be read and is begun anew; failures until now are not alerted.")
            ledger = AlertState(context.instance.event_log_storage.get_maximum_record_id() or 0)
        after, failed = new_failures(context.instance, ledger.after)
        failed_alerts, waiting = failure_alerts(context.instance, failed, ledger.waiting, now, ui_url)
        said, condition_alerts = told(ledger.said, conditions(sensor_states(context.instance)), ui_url)
        alerts = [*failed_alerts, *condition_alerts]
        channels = tuple(notifier.channels)
        for alert in alerts:
            # Also where nobody is told: the log of the tick is the record.
            context.log.warning(f"Alert: {alert.title}. {alert.text} {alert.link or ''}")
        outbox = (*ledger.outbox, *(PendingAlert(alert, channels) for alert in alerts if channels))
        left = deliver(
            outbox,
            notifier.send,
            now,
            in_time=lambda: time.monotonic() - began < SENDING_SECONDS,
            say=context.log.error,
        )
        return SensorResult(
            cursor=AlertState(after, waiting, said, left).to_json(),
            skip_reason=SkipReason(f"{len(alerts)} new alerts, {len(left)} still to be sent."),
        )

    return alerts_sensor


def new_failures(instance: DagsterInstance, after: int) -> tuple[int, list[str]]:
    """Ids of the runs that failed since the event of that id, and the id to go on from."""
    found = instance.fetch_run_status_changes(
        RunStatusChangeRecordsFilter(DagsterEventType.RUN_FAILURE, after_storage_id=after),
        limit=FAILURES_A_TICK,
        ascending=True,
    ).records
    return (found[-1].storage_id if found else after), [record.event_log_entry.run_id for record in found]


def failure_alerts(
    instance: DagsterInstance, failed: Iterable[str], waiting: Mapping[str, float], now: float, ui_url: str
) -> tuple[list[Alert], dict[str, float]]:
    """An alert for each run that failed for good; and those that wait, since when, for a retry to take them up."""
    alerts, still = [], {}
    for run_id, since in (dict.fromkeys(failed, now) | dict(waiting)).items():
        run = instance.get_run_by_id(run_id)
        if run is None or run.status is not DagsterRunStatus.FAILURE or "dagster/auto_retry_run_id" in run.tags:
            continue
        will_retry = run.tags.get("dagster/will_retry", "unknown" if instance.run_retries_enabled else "false")
        patience = {"true": RETRY_SECONDS, "unknown": TAG_SECONDS}.get(will_retry, 0.0)
        if now - since < patience:
            still[run_id] = since
            continue
        kinds = {DagsterEventType.STEP_FAILURE, DagsterEventType.ASSET_CHECK_EVALUATION, DagsterEventType.RUN_FAILURE}
        alerts.append(failure_alert(run, instance.all_logs(run_id, of_type=kinds), ui_url))
    return alerts, still


def failure_alert(run: DagsterRun, events: Sequence[EventLogEntry], ui_url: str) -> Alert:
    """Which month of which dataset failed, in which asset, and why."""
    steps, checks = [], {}
    message = "its process ended"
    for entry in events:
        event = entry.dagster_event
        if event is None:
            continue
        if event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if not check.passed and check.blocking:
                why = f": {check.description}" if check.description else ""
                checks[check.asset_key.to_python_identifier()] = (
                    f"Check {check.check_name} of {check.asset_key.to_user_string()} failed{why}"
                )
        elif event.event_type is DagsterEventType.STEP_FAILURE:
            steps.append(event)
        elif event.message:
            message = event.message
    reasons = []
    for event in steps:
        step = event.step_key or ""
        data = event.step_failure_data
        if data.user_failure_data is not None:
            why = data.user_failure_data.description or "it said no reason"
        elif step in checks:
            reasons.append(checks[step])
            continue
        else:
            error = data.error.cause or data.error if data.error else None
            why = error.message if error else "it said no reason"
        reasons.append(f"{step.replace('__', '/')}: {why}")
    retries = int(run.tags.get("dagster/retry_number", 0))
    after = f" (run {retries + 1} times)" if retries else ""
    sentences = [" ".join(reason.split())[:MAX_SENTENCE] for reason in reasons or [f"The run failed: {message}"]]
    return Alert(f"{subject(run)} failed{after}", "\n".join(sentences), f"{ui_url}/runs/{run.run_id}")


def subject(run: DagsterRun) -> str:
    """The dataset and the month of a run, as far as it has them."""
    name = ", ".join(sorted(datasets_of(run))) or run.job_name
    month = run.tags.get("dagster/partition", "")
    return f"{name} {month[:7]}".rstrip()


def sensor_states(instance: DagsterInstance) -> dict[str, SensorState]:
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


def conditions(by_dataset: Mapping[str, SensorState]) -> dict[str, Alert]:
    """What is wrong for as long as it lasts, by a key of its own: the source, once for all datasets, and months."""
    found = {}
    down = {name: state for name, state in by_dataset.items() if state.is_down}
    if down:
        reasons = "\n".join(dict.fromkeys(state.trouble for _, state in sorted(down.items())))
        found[_SOURCE] = Alert(
            "The source is down",
            f"Asked for months of {', '.join(sorted(down))}: {reasons[:MAX_SENTENCE]}\n"
            "It is asked again less and less often; nothing is lost by waiting.",
        )
    for name, state in sorted(by_dataset.items()):
        for month in sorted(state.overdue):
            found[f"overdue:{name}:{month_text(month)}"] = overdue_alert(name, month)
    return found


def overdue_alert(dataset: str, month: date) -> Alert:
    """The alert for a month that is not there in time."""
    return Alert(
        f"{dataset} {month_text(month)} is overdue",
        f"The source has no file for it, more than {LAG_MONTHS} months and {GRACE_DAYS} days after its end. It is "
        "loaded when it appears; if it has another name or address now, set TAXI_SOURCE.",
    )


def told(said: frozenset[str], holding: Mapping[str, Alert], ui_url: str) -> tuple[frozenset[str], list[Alert]]:
    """The conditions that are now told of, and the alerts for what began, or for the source having come back."""
    link = f"{ui_url}/automation"
    alerts = [Alert(alert.title, alert.text, link) for key, alert in holding.items() if key not in said]
    if _SOURCE in said and _SOURCE not in holding:
        alerts.append(Alert("The source is back", "It result again; new and changed months are taken up.", link))
    return frozenset(holding), alerts
