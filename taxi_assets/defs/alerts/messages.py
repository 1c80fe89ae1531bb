"""What an alert says: texts made from runs, their events and the state of the months sensors. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg

from taxi_assets.defs.ingestion.polling import GRACE_DAYS, LAG_MONTHS, SensorState
from taxi_assets.defs.operations.active_runs import datasets_of
from taxi_assets.months import month_text
from taxi_assets.notifications.notifier import Alert

MAX_SENTENCE = 600
NO_REASON = "no reason was given"
_SOURCE = "source"


def failure_alert(run: dg.DagsterRun, events: Sequence[dg.EventLogEntry], ui_url: str) -> Alert:
    """Return the alert for a failed run: dataset, month, asset and reason."""
    found = [entry.dagster_event for entry in events if entry.dagster_event is not None]
    checks = _failed_checks(found)
    steps = [event for event in found if event.event_type is dg.DagsterEventType.STEP_FAILURE]
    reasons = [_step_reason(event, checks) for event in steps] or [f"The run failed: {_run_message(found)}"]
    retries = int(run.tags.get("dagster/retry_number", 0))
    attempts = f" (run {retries + 1} times)" if retries else ""
    sentences = [" ".join(reason.split())[:MAX_SENTENCE] for reason in reasons]
    return Alert(f"{subject(run)} failed{attempts}", "\n".join(sentences), f"{ui_url}/runs/{run.run_id}")


def subject(run: dg.DagsterRun) -> str:
    """Return the datasets and the month of a run, as far as it has them."""
    name = ", ".join(sorted(datasets_of(run))) or run.job_name
    month = run.tags.get("dagster/partition", "")
    return f"{name} {month[:7]}".rstrip()


def condition_alerts(by_dataset: Mapping[str, SensorState]) -> dict[str, Alert]:
    """Return an alert for each condition that holds, by key: one for the source, one for each overdue month."""
    found = {}
    down = {name: state for name, state in by_dataset.items() if state.is_down}
    if down:
        reasons = "\n".join(dict.fromkeys(state.trouble for _, state in sorted(down.items())))
        found[_SOURCE] = Alert(
            "The source is down",
            f"Requests for months of {', '.join(sorted(down))} failed: {reasons[:MAX_SENTENCE]}\n"
            "It is tried again at growing intervals; nothing is lost by waiting.",
        )
    for name, state in sorted(by_dataset.items()):
        for month in sorted(state.overdue):
            found[f"overdue:{name}:{month_text(month)}"] = overdue_alert(name, month)
    return found


def overdue_alert(dataset: str, month: date) -> Alert:
    """Return the alert for a month that was not published in time."""
    return Alert(
        f"{dataset} {month_text(month)} is overdue",
        f"The source has no file for it, more than {LAG_MONTHS} months and {GRACE_DAYS} days after its end. It is "
        "loaded when it appears; if it has another name or address now, set TAXI_SOURCE.",
    )


def changed_conditions(
    alerted: frozenset[str], holding: Mapping[str, Alert], ui_url: str
) -> tuple[frozenset[str], list[Alert]]:
    """Return the conditions already alerted on, and alerts for those that started or cleared."""
    link = f"{ui_url}/automation"
    alerts = [Alert(alert.title, alert.text, link) for key, alert in holding.items() if key not in alerted]
    if _SOURCE in alerted and _SOURCE not in holding:
        alerts.append(Alert("The source is back", "It responds again; new and changed months are loaded.", link))
    return frozenset(holding), alerts


def _failed_checks(events: Sequence[dg.DagsterEvent]) -> dict[str, str]:
    """Return a sentence for each failed blocking check, by the step that ran it."""
    failed = {}
    for event in events:
        if event.event_type is not dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            continue
        check = event.asset_check_evaluation_data
        if not check.passed and check.blocking:
            reason = f": {check.description}" if check.description else ""
            name = check.asset_key.to_user_string()
            failed[check.asset_key.to_python_identifier()] = f"Check {check.check_name} of {name} failed{reason}"
    return failed


def _step_reason(event: dg.DagsterEvent, checks: Mapping[str, str]) -> str:
    step = event.step_key or ""
    data: Any = event.step_failure_data
    if data.user_failure_data is not None:
        reason = data.user_failure_data.description or NO_REASON
    elif step in checks:
        return checks[step]
    else:
        error = data.error.cause or data.error if data.error else None
        reason = error.message if error else NO_REASON
    return f"{step.replace('__', '/')}: {reason}"


def _run_message(events: Sequence[dg.DagsterEvent]) -> str:
    texts = [e.message for e in events if e.event_type is dg.DagsterEventType.RUN_FAILURE and e.message]
    return texts[-1] if texts else "its process ended"
