"""The sensors that watch the source: one a dataset, asking for new and for changed months."""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from dagster import (
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.object_names import raw_prefix
from taxi_assets.defs.ingestion.polling import PollPlan, PollResult, SensorState, decide, plan
from taxi_assets.download.fingerprint import Fingerprint
from taxi_assets.download.http import ForbiddenError
from taxi_assets.download.retries import RetrySettings
from taxi_assets.errors import NotPublishedError, TaxiError
from taxi_assets.months import parse_month
from taxi_assets.resources.lake import LakeResource
from taxi_assets.resources.source import SourceResource
from taxi_assets.runtime.names import month_job_name

NEW_YORK = ZoneInfo("America/New_York")
_MONTH_IN_NAME = re.compile(r"20[0-9]{2}-(?:0[1-9]|1[0-2])")


@dataclass(frozen=True)
class PollingLimits:
    """How a sensor treats the source: at most `months` asked a tick, one every `pace_seconds`, begun within `seconds`.

    A tick must end within the minute that Dagster gives it. Asking for 20 months twice an hour comes around all
    of the longest dataset's months, about 215, in at most 14 hours, and in 6 where nothing is awaited.
    """

    interval_seconds: int = 1800
    months: int = 20
    seconds: float = 30.0
    pace_seconds: float = 0.5
    timeout_seconds: float = 10.0

    @property
    def retry(self) -> RetrySettings:
        """One attempt: the next tick is the next one."""
        return RetrySettings(timeout_seconds=self.timeout_seconds, attempts=1)


POLLING_LIMITS = PollingLimits()


def months_sensor_name(dataset: str) -> str:
    """The name of the dataset's sensor."""
    return f"{dataset}_new_months_sensor"


def build_months_sensor(dataset: Dataset, limits: PollingLimits, enabled_by_default: bool) -> SensorDefinition:
    """The sensor `<dataset>_new_months_sensor`; `enabled_by_default` sets its initial state."""

    @sensor(
        name=months_sensor_name(dataset.name),
        job_name=month_job_name(dataset.name),
        minimum_interval_seconds=limits.interval_seconds,
        default_status=DefaultSensorStatus.RUNNING if enabled_by_default else DefaultSensorStatus.STOPPED,
        description=f"Asks the source for months of {dataset.name} that are new, and for loaded ones that changed.",
    )
    def months_sensor(
        context: SensorEvaluationContext, source: SourceResource, lake: LakeResource
    ) -> SensorResult | SkipReason:
        now, today = time.time(), datetime.now(NEW_YORK).date()
        state = SensorState.from_json(context.cursor)
        if state is None:
            if context.cursor:
                context.log.warning("The cursor cannot be read and is begun anew; what is loaded is in the lake.")
            state = SensorState()
        if now < state.retry_at:
            until = datetime.fromtimestamp(state.retry_at, NEW_YORK)
            return SkipReason(f"The source is left alone until {until:%Y-%m-%d %H:%M}: {state.trouble}")
        try:
            loaded = archived_months(lake, dataset)
            wanted = plan(dataset.first_month, today, loaded, state, limits.months)
            result = ask(wanted, lambda month: source.probe(dataset.name, month, limits.retry), limits)
        except TaxiError as error:
            return SkipReason(f"Nothing was asked: {error}")
        decision = decide(wanted, result, loaded, state, today, now, limits.interval_seconds)
        requests = [
            RunRequest(run_key=f"{dataset.name}:{key}", partition_key=month.isoformat())
            for month, key in decision.requests.items()
        ]
        if requests:
            context.log.info(decision.summary)
        return SensorResult(
            run_requests=requests,
            skip_reason=None if requests else SkipReason(decision.summary),
            cursor=decision.state.to_json(),
        )

    return months_sensor


def archived_months(lake: LakeResource, dataset: Dataset) -> Mapping[date, Fingerprint | None]:
    """Each month that has a raw file in the lake, with the fingerprint of the one archived last.

    Raises:
        TaxiError: the lake cannot be asked.
    """
    newest: dict[date, tuple[str, Fingerprint | None]] = {}
    for item in lake.list(raw_prefix(dataset.name)):
        found = _MONTH_IN_NAME.search(Path(item.name).name)
        if found and "archived_at" in item.metadata:
            entry = (item.metadata["archived_at"], Fingerprint.from_metadata(item.metadata))
            month = parse_month(found[0])
            newest[month] = max(newest.get(month, entry), entry, key=lambda pair: pair[0])
    return {month: fingerprint for month, (_, fingerprint) in newest.items()}


def ask(
    wanted: PollPlan,
    probe: Callable[[date], Fingerprint],
    limits: PollingLimits,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> PollResult:
    """Ask for the plan's months, in its order, until all are answered, time is up, or the source is in trouble."""
    began = clock()
    found: dict[date, Fingerprint] = {}
    refused: dict[date, str] = {}
    absent: set[date] = set()
    swept: date | None = None

    def said(trouble: str) -> PollResult:
        return PollResult(found, frozenset(absent | refused.keys()), trouble, swept)

    for number, (month, is_sweep) in enumerate(_turns(wanted)):
        if wanted.only_newest and found and not is_sweep:
            continue
        if number:
            sleep(limits.pace_seconds)
        if clock() - began > limits.seconds:
            break
        if is_sweep:
            swept = month
        try:
            found[month] = probe(month)
        except NotPublishedError:
            absent.add(month)
        except ForbiddenError as error:
            # TLC's host result so for a month not published yet; one that was published is refused.
            if is_sweep:
                return said(str(error))
            refused[month] = str(error)
        except TaxiError as error:
            return said(str(error))
    if refused and not found and not absent and wanted.only_newest:
        # Nothing is loaded and nothing of a whole year is there: that is no matter of lag.
        return said(next(iter(refused.values())))
    return said("")


def _turns(wanted: PollPlan) -> Iterable[tuple[date, bool]]:
    return [*((month, False) for month in wanted.wanted), *((month, True) for month in wanted.sweep)]
