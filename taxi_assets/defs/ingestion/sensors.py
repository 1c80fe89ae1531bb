"""The sensors that watch the source, one for each dataset: they request new and changed months."""

import re
import time
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path

import dagster as dg

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.object_names import raw_prefix
from taxi_assets.defs.ingestion.polling import NEW_YORK, PollingLimits, SensorState, decide, plan, poll
from taxi_assets.download.fingerprint import Fingerprint
from taxi_assets.errors import TaxiError
from taxi_assets.months import parse_month
from taxi_assets.resources.lake import LakeResource
from taxi_assets.resources.source import SourceResource
from taxi_assets.runtime.names import month_job_name

_MONTH_IN_NAME = re.compile(r"20[0-9]{2}-(?:0[1-9]|1[0-2])")


def months_sensor_name(dataset: str) -> str:
    """Return the name of the dataset's sensor."""
    return f"{dataset}_new_months_sensor"


def build_months_sensor(dataset: Dataset, limits: PollingLimits, enabled_by_default: bool) -> dg.SensorDefinition:
    """Build the sensor `<dataset>_new_months_sensor`; `enabled_by_default` sets its initial state."""

    @dg.sensor(
        name=months_sensor_name(dataset.name),
        job_name=month_job_name(dataset.name),
        minimum_interval_seconds=limits.interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING if enabled_by_default else dg.DefaultSensorStatus.STOPPED,
        description=f"Requests new months of {dataset.name}, and loaded ones that changed at the source.",
    )
    def months_sensor(
        context: dg.SensorEvaluationContext, source: SourceResource, lake: LakeResource
    ) -> dg.SensorResult | dg.SkipReason:
        now, today = time.time(), datetime.now(NEW_YORK).date()
        state = SensorState.from_json(context.cursor)
        if state is None:
            if context.cursor:
                context.log.warning("The cursor cannot be read and is replaced; what is loaded is read from the lake.")
            state = SensorState()
        if now < state.retry_at:
            until = datetime.fromtimestamp(state.retry_at, NEW_YORK)
            return dg.SkipReason(f"The source is not polled until {until:%Y-%m-%d %H:%M}: {state.trouble}")
        try:
            loaded = archived_months(lake, dataset)
            wanted = plan(dataset.first_month, today, loaded, state, limits.months)
            result = poll(wanted, lambda month: source.probe(dataset.name, month, limits.retry), limits)
        except TaxiError as error:
            return dg.SkipReason(f"The source was not polled: {error}")
        decision = decide(wanted, result, loaded, state, today, now, limits.interval_seconds)
        requests = [
            dg.RunRequest(run_key=f"{dataset.name}:{key}", partition_key=month.isoformat())
            for month, key in decision.requests.items()
        ]
        if requests:
            context.log.info(decision.summary)
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else dg.SkipReason(decision.summary),
            cursor=decision.state.to_json(),
        )

    return months_sensor


def archived_months(lake: LakeResource, dataset: Dataset) -> Mapping[date, Fingerprint | None]:
    """Return each month that has a raw file in the lake, with the fingerprint of the newest one.

    Raises:
        TaxiError: The lake cannot be read.
    """
    newest: dict[date, tuple[str, Fingerprint | None]] = {}
    for item in lake.list(raw_prefix(dataset.name)):
        found = _MONTH_IN_NAME.search(Path(item.name).name)
        if found and "archived_at" in item.metadata:
            entry = (item.metadata["archived_at"], Fingerprint.from_metadata(item.metadata))
            month = parse_month(found[0])
            newest[month] = max(newest.get(month, entry), entry, key=lambda pair: pair[0])
    return {month: fingerprint for month, (_, fingerprint) in newest.items()}
