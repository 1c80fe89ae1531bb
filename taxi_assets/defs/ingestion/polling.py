"""Which months to ask the source for, what its result mean, and what is remembered: plain values, no network.

Of the last `WINDOW_MONTHS` months those are wanted that are newer than the oldest one loaded among them, so that
a gap in them is filled; where none is loaded, the newest published one. Older months are only asked for changes,
and only those that are loaded: history is loaded by backfills, never by itself.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from taxi_assets.download.fingerprint import Fingerprint
from taxi_assets.errors import SettingsError
from taxi_assets.months import month_text, months_before, parse_month

WINDOW_MONTHS = 12
# TLC publishes a month about two months after its end, late at times.
LAG_MONTHS = 2
GRACE_DAYS = 30
MAX_BACKOFF_SECONDS = 6 * 3600.0
# One tick that fails may be a passing fault; the source counts as down from the second in a row.
DOWN_AFTER = 2
_VERSION = 1


def last_ended(today: date) -> date:
    """The newest month that can be published at all."""
    return months_before(today, 1)


def is_overdue(month: date, today: date) -> bool:
    """Whether the usual lag and a month of grace have passed since the month's end."""
    return today >= months_before(month, -1 - LAG_MONTHS) + timedelta(days=GRACE_DAYS)


def digest(fingerprint: Fingerprint) -> str:
    """A short name of the content: the same for the same file, whatever address it came from."""
    said = [fingerprint.etag.removeprefix("W/")] if fingerprint.etag else [fingerprint.last_modified, fingerprint.bytes]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]


def has_changed(loaded: Fingerprint, seen: Fingerprint) -> bool:
    """Whether the source has another file than the one loaded from the same address.

    What one of both does not say cannot be compared; a file that only has another date has the same ETag.
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
        """Whether the source counts as down."""
        return self.failures >= DOWN_AFTER

    def to_json(self) -> str:
        """The cursor's text."""
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
        """The state that a cursor holds; None for no cursor, or one that cannot be read."""
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
    """The months to ask the source for, in this order: those wanted, newest first, then loaded ones in turn.

    With `only_newest` nothing is loaded of the wanted ones, and the first that is published suffices.
    """

    wanted: tuple[date, ...]
    sweep: tuple[date, ...]
    only_newest: bool


def plan(first: date, today: date, loaded: Iterable[date], state: SensorState, limit: int) -> PollPlan:
    """At most `limit` months to ask for; every loaded month gets its turn, so that a sweep ends.

    `first` is the dataset's first month. A limit below twice the window would let the wanted months take the
    sweep's turn.
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
    """What the source said in a tick; a month that is in none of these was not asked.

    `trouble` ends a tick: the source is down, slow, or refuses.
    """

    found: Mapping[date, Fingerprint] = field(default_factory=dict)
    not_published: frozenset[date] = frozenset()
    trouble: str = ""
    swept: date | None = None


@dataclass(frozen=True)
class Decision:
    """What follows from the result: the months to request with their run keys, and what to remember."""

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
    """Decide by the result. `loaded` holds the fingerprint that each loaded month was archived with, if any."""
    requests: dict[date, str] = {}
    new: list[date] = []
    changed: list[date] = []
    elsewhere: list[date] = []
    for month, seen in result.found.items():
        known = loaded.get(month)
        if month in loaded and known is not None and known.url != seen.url:
            elsewhere.append(month)
        if month in loaded and (known is None or not has_changed(known, seen)):
            continue
        if state.requested.get(month) == digest(seen):
            continue
        (changed if month in loaded else new).append(month)
        # What it replaces is part of the key: a file that is taken back is another request than its first one.
        before = f"{digest(known)}-" if known else ""
        requests[month] = f"{month_text(month)}:{before}{digest(seen)}"
    overdue = [
        month
        for month in plan.wanted
        if is_overdue(month, today)
        and (month in result.not_published or (month in state.overdue and month not in result.found))
    ]
    if plan.only_newest:
        # Of a source that has nothing at all, one month says it.
        overdue = [] if result.found else overdue[:1]
    failures = state.failures + 1 if result.trouble else 0
    wait = min(MAX_BACKOFF_SECONDS, interval_seconds * 2.0 ** (failures - 1)) if failures else 0.0
    after = SensorState(
        requested={**state.requested, **{month: digest(result.found[month]) for month in requests}},
        swept=result.swept or state.swept,
        failures=failures,
        trouble=result.trouble,
        retry_at=now + wait if failures else 0.0,
        overdue=frozenset(overdue),
    )
    unchanged = len(result.found) - len(requests)
    parts = [
        _months("new", new),
        _months("changed", changed),
        _months("not published", [m for m in plan.wanted if m in result.not_published]),
        _months("no longer published", [m for m in plan.sweep if m in result.not_published]),
        _months("loaded from another source, so not compared", elsewhere),
        f"{unchanged} as known" if unchanged else "",
        f"stopped: {result.trouble} Asked again in {wait / 60:.0f} min or later." if result.trouble else "",
    ]
    asked = len(result.found) + len(result.not_published)
    said = "; ".join(part for part in parts if part) or "nothing"
    return Decision(requests, after, f"{asked} months asked, {len(loaded)} loaded: {said}")


def _months(what: str, months: Sequence[date]) -> str:
    shown = ", ".join(map(month_text, months[:WINDOW_MONTHS]))
    more = f" and {len(months) - WINDOW_MONTHS} more" if len(months) > WINDOW_MONTHS else ""
    return f"{what} {shown}{more}" if months else ""
