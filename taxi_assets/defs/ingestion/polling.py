"""When and for which months a sensor polls the source, and what it requests then: plain values, no network.

The sensor requests every missing month of the last `WINDOW_MONTHS` that is newer than the oldest loaded one. If none
is loaded, it requests only the newest published one. Older months are polled for changes, and only if they are
loaded: history is loaded by backfills, never automatically.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from taxi_assets.download.fingerprint import Fingerprint
from taxi_assets.download.http import ForbiddenError
from taxi_assets.download.retries import RetrySettings
from taxi_assets.errors import NotPublishedError, SettingsError, TaxiError
from taxi_assets.months import month_text, months_before, parse_month

NEW_YORK = ZoneInfo("America/New_York")
WINDOW_MONTHS = 12
# TLC publishes a month about two months after its end, late at times.
LAG_MONTHS = 2
GRACE_DAYS = 30
MAX_BACKOFF_SECONDS = 6 * 3600.0
# So many changes in one tick, and most of what was compared, are more likely a fault of the source than new files.
MANY_CHANGES = 5
# A month's file that has less than this part of its former length is more likely a page.
LEAST_SHARE = 0.1
# So many months with the same content are one page.
MANY_EQUAL = 3
# One tick that fails may be a passing fault; the source counts as down from the second in a row.
DOWN_AFTER = 2
_VERSION = 1


@dataclass(frozen=True)
class PollingLimits:
    """Limits of one tick: at most `months` requests, one every `pace_seconds`, the last started within `seconds`.

    A tick must end within the minute that Dagster gives it. With 20 months twice an hour, all months of the longest
    dataset, about 215, are polled within 14 hours, or within 6 if no new month is awaited.
    """

    interval_seconds: int = 1800
    months: int = 20
    seconds: float = 30.0
    pace_seconds: float = 0.5
    timeout_seconds: float = 10.0

    @property
    def retry(self) -> RetrySettings:
        """Allow one attempt: the next tick is the next one."""
        return RetrySettings(timeout_seconds=self.timeout_seconds, attempts=1)


POLLING_LIMITS = PollingLimits()


def last_ended(today: date) -> date:
    """Return the newest month that can be published at all."""
    return months_before(today, 1)


def is_overdue(month: date, today: date) -> bool:
    """Return whether the usual lag and a month of grace have passed since the month's end."""
    return today >= months_before(month, -1 - LAG_MONTHS) + timedelta(days=GRACE_DAYS)


def digest(fingerprint: Fingerprint) -> str:
    """Return a short name of the content: the same for the same file, whatever address it came from."""
    parts: list[str | int | None] = (
        [fingerprint.etag.removeprefix("W/")] if fingerprint.etag else [fingerprint.last_modified, fingerprint.bytes]
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def has_changed(loaded: Fingerprint, seen: Fingerprint) -> bool:
    """Return whether the source has another file than the one loaded from the same address.

    What either lacks cannot be compared; a file that only has another date has the same ETag.
    """
    if loaded.url != seen.url:
        return False
    if loaded.etag and seen.etag:
        return digest(loaded) != digest(seen)
    pairs = ((loaded.last_modified, seen.last_modified), (loaded.bytes, seen.bytes))
    return any(a is not None and b is not None and a != b for a, b in pairs)


@dataclass(frozen=True)
class SensorState:
    """What a sensor keeps in its cursor.

    `requested` is the content that each month was last requested for, by digest; `swept` the loaded month that was
    last asked for changes; `failures` how many ticks in a row the source failed, `trouble` what it said at the last
    of them and `retry_at` the time, in seconds since 1970, before which it is left alone; `overdue` the months that
    are wanted, past their time and not published.
    """

    requested: Mapping[date, str] = field(default_factory=dict)
    swept: date | None = None
    failures: int = 0
    trouble: str = ""
    retry_at: float = 0.0
    overdue: frozenset[date] = frozenset()

    @property
    def is_down(self) -> bool:
        """Return whether the source counts as down."""
        return self.failures >= DOWN_AFTER

    def to_json(self) -> str:
        """Return the cursor's text."""
        return json.dumps(
            {
                "version": _VERSION,
                "requested": {month_text(month): name for month, name in sorted(self.requested.items())},
                "swept": month_text(self.swept) if self.swept else None,
                "failures": self.failures,
                "trouble": self.trouble,
                "retry_at": self.retry_at,
                "overdue": [month_text(month) for month in sorted(self.overdue)],
            }
        )

    @classmethod
    def from_json(cls, text: str | None) -> "SensorState | None":
        """Return the state that a cursor holds, or None if it is empty or cannot be read."""
        try:
            data = json.loads(text or "")
            if data["version"] != _VERSION:
                return None
            return cls(
                requested={parse_month(month): str(name) for month, name in data["requested"].items()},
                swept=parse_month(data["swept"]) if data["swept"] else None,
                failures=int(data["failures"]),
                trouble=str(data["trouble"]),
                retry_at=float(data["retry_at"]),
                overdue=frozenset(map(parse_month, data["overdue"])),
            )
        except (ValueError, TypeError, KeyError, AttributeError, SettingsError):
            return None


@dataclass(frozen=True)
class PollPlan:
    """The months to poll, in this order: wanted ones, newest first, then loaded ones in turn.

    With `only_newest`, none of the wanted months is loaded, and the first that is published suffices.
    """

    wanted: tuple[date, ...]
    sweep: tuple[date, ...]
    only_newest: bool

    @property
    def turns(self) -> list[tuple[date, bool]]:
        """Return each month in its order, and whether it belongs to the sweep."""
        return [*((month, False) for month in self.wanted), *((month, True) for month in self.sweep)]


def plan(first: date, today: date, loaded: Iterable[date], state: SensorState, limit: int) -> PollPlan:
    """Return at most `limit` months to poll. Every loaded month gets its turn, so that a sweep ends.

    Args:
        first: The dataset's first month.
        today: The date in New York.
        loaded: The months that are loaded.
        state: The sensor's state.
        limit: At least twice the window; less would leave no turn to loaded months.
    """
    there = set(loaded)
    newest = last_ended(today)
    window = [months_before(newest, back) for back in range(WINDOW_MONTHS)]
    window = [month for month in window if month >= first]
    known = [month for month in window if month in there or month in state.requested]
    floor = min(known, default=None)
    wanted = tuple(month for month in window if month not in there and (floor is None or month >= floor))[:limit]
    turns = sorted(there, reverse=True)
    if state.swept is not None:
        turns = [m for m in turns if m < state.swept] + [m for m in turns if m >= state.swept]
    return PollPlan(wanted, tuple(turns[: limit - len(wanted)]), floor is None)


@dataclass(frozen=True)
class PollResult:
    """The source's responses in one tick; a month in none of these was not polled.

    `trouble` ends a tick: the source is down, slow, or denies access.
    """

    found: Mapping[date, Fingerprint] = field(default_factory=dict)
    not_published: frozenset[date] = frozenset()
    trouble: str = ""
    swept: date | None = None


def poll(
    plan: PollPlan,
    probe: Callable[[date], Fingerprint],
    limits: PollingLimits,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> PollResult:
    """Probe the plan's months in order until all are done, time is up, or the source is in trouble."""
    started = clock()
    found: dict[date, Fingerprint] = {}
    forbidden: dict[date, str] = {}
    absent: set[date] = set()
    swept, trouble = None, ""
    for number, (month, is_sweep) in enumerate(plan.turns):
        if plan.only_newest and found and not is_sweep:
            continue
        if number:
            sleep(limits.pace_seconds)
        if clock() - started > limits.seconds:
            break
        swept = month if is_sweep else swept
        outcome = _probed(probe, month)
        if isinstance(outcome, Fingerprint):
            found[month] = outcome
        elif outcome is None:
            absent.add(month)
        elif isinstance(outcome, ForbiddenError) and not is_sweep:
            forbidden[month] = str(outcome)
        else:
            trouble = str(outcome)
            break
    if not trouble and forbidden and not found and not absent and plan.only_newest:
        # Nothing is loaded, and no month of a whole year is there: that is no matter of lag.
        trouble = next(iter(forbidden.values()))
    return PollResult(found, frozenset(absent | forbidden.keys()), trouble, swept)


def _probed(probe: Callable[[date], Fingerprint], month: date) -> Fingerprint | TaxiError | None:
    """Return the month's fingerprint, None if it is not published, or the error.

    TLC's host responds with 403 for a month that is not published yet, so that `poll` counts it as absent. For a
    month that was published before, 403 means that access is denied.
    """
    try:
        return probe(month)
    except NotPublishedError:
        return None
    except TaxiError as error:
        return error


@dataclass(frozen=True)
class Decision:
    """The months to request with their run keys, the new state, and a summary for the tick."""

    requests: Mapping[date, str]
    state: SensorState
    summary: str


def decide(
    plan: PollPlan,
    result: PollResult,
    loaded: Mapping[date, Fingerprint | None],
    state: SensorState,
    today: date,
    now: float,
    interval_seconds: float,
) -> Decision:
    """Decide which months to request.

    Args:
        plan: The months that were to be polled.
        result: The source's responses.
        loaded: The fingerprint that each loaded month was archived with, if any.
        state: The state before this tick.
        today: The date in New York.
        now: The time in seconds since 1970.
        interval_seconds: The sensor's interval, the shortest pause after a failure.
    """
    to_request = {m: f for m, f in result.found.items() if _is_to_request(m, f, loaded, state)}
    failures = state.failures + 1 if result.trouble else 0
    if to_request and (suspicion := _suspicion(result.found, loaded)):
        # Certain at once, other than an error that may pass: one alert and no runs.
        to_request, failures = {}, max(state.failures + 1, DOWN_AFTER)
        result = replace(result, trouble=suspicion)
    pause = min(MAX_BACKOFF_SECONDS, interval_seconds * 2.0 ** (failures - 1)) if failures else 0.0
    after = SensorState(
        requested={**state.requested, **{month: digest(seen) for month, seen in to_request.items()}},
        swept=result.swept or state.swept,
        failures=failures,
        trouble=result.trouble,
        retry_at=now + pause if failures else 0.0,
        overdue=_overdue(plan, result, state, today),
    )
    requests = {month: _run_key(month, seen, loaded.get(month)) for month, seen in to_request.items()}
    return Decision(requests, after, _summary(plan, result, loaded, to_request, pause))


def _suspicion(found: Mapping[date, Fingerprint], loaded: Mapping[date, Fingerprint | None]) -> str:
    """Return why the responses are not those of a source that has new files, or an empty text."""
    pairs = {month: (known, seen) for month, seen in found.items() if (known := loaded.get(month))}
    compared = {month: pair for month, pair in pairs.items() if pair[0].url == pair[1].url}
    changed = [month for month, pair in compared.items() if has_changed(*pair)]
    hint = (
        "no runs were requested. If the source means it, load one of the months by hand and compare it, then backfill "
        "the others."
    )
    for month in changed:
        before, now = (fingerprint.bytes for fingerprint in compared[month])
        if before and now is not None and now < before * LEAST_SHARE:
            return f"{month_text(month)} has {now:,} bytes at the source where {before:,} were loaded; {hint}"
    identities = {(seen.etag, seen.last_modified, seen.bytes) for seen in found.values()}
    # An ETag alone proves nothing: some servers make it of the length.
    proves = all(seen.last_modified or (seen.bytes and not seen.etag) for seen in found.values())
    if len(found) >= MANY_EQUAL and len(identities) == 1 and proves:
        return f"{len(found)} months have one and the same file at the source, as behind a proxy's page; {hint}"
    if len(changed) >= MANY_CHANGES and len(changed) > len(compared) / 2:
        return f"{len(changed)} of {len(compared)} months compared have changed at the source at once; {hint}"
    return ""


def _is_to_request(
    month: date, seen: Fingerprint, loaded: Mapping[date, Fingerprint | None], state: SensorState
) -> bool:
    known = loaded.get(month)
    if month in loaded and (known is None or not has_changed(known, seen)):
        return False
    return state.requested.get(month) != digest(seen)


def _run_key(month: date, seen: Fingerprint, replaced: Fingerprint | None) -> str:
    # The replaced file is part of the key: a file that the source takes back is another request than its first one.
    before = f"{digest(replaced)}-" if replaced else ""
    return f"{month_text(month)}:{before}{digest(seen)}"


def _overdue(plan: PollPlan, result: PollResult, state: SensorState, today: date) -> frozenset[date]:
    overdue = [
        month
        for month in plan.wanted
        if is_overdue(month, today)
        and (month in result.not_published or (month in state.overdue and month not in result.found))
    ]
    if plan.only_newest:
        # Of a source that has nothing at all, one month is enough.
        overdue = [] if result.found else overdue[:1]
    return frozenset(overdue)


def _summary(
    plan: PollPlan,
    result: PollResult,
    loaded: Mapping[date, Fingerprint | None],
    to_request: Mapping[date, Fingerprint],
    pause: float,
) -> str:
    unchanged = len(result.found) - len(to_request)
    elsewhere = [m for m, seen in result.found.items() if (known := loaded.get(m)) and known.url != seen.url]
    parts = [
        _months("new", [month for month in to_request if month not in loaded]),
        _months("changed", [month for month in to_request if month in loaded]),
        _months("not published", [m for m in plan.wanted if m in result.not_published]),
        _months("no longer published", [m for m in plan.sweep if m in result.not_published]),
        _months("loaded from another source, so not compared", elsewhere),
        f"{unchanged} as known" if unchanged else "",
        f"stopped: {result.trouble} Polled again in {pause / 60:.0f} min or later." if result.trouble else "",
    ]
    polled = len(result.found) + len(result.not_published)
    outcome = "; ".join(part for part in parts if part) or "nothing"
    return f"{polled} months polled, {len(loaded)} loaded: {outcome}"


def _months(what: str, months: Sequence[date]) -> str:
    shown = ", ".join(map(month_text, months[:WINDOW_MONTHS]))
    more = f" and {len(months) - WINDOW_MONTHS} more" if len(months) > WINDOW_MONTHS else ""
    return f"{what} {shown}{more}" if months else ""
