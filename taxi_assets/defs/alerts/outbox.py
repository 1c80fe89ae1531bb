"""What was alerted and what still has to be: the state of the alerts' sensor as plain values."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace

from taxi_assets.errors import TaxiError
from taxi_assets.notifications.notifier import Alert, Channel

MAX_ATTEMPTS = 8
FIRST_PAUSE_SECONDS = 30.0
MAX_PAUSE_SECONDS = 3600.0
_VERSION = 1


@dataclass(frozen=True)
class PendingAlert:
    """An alert on its way: the channels that have not taken it yet, and when they are tried again."""

    alert: Alert
    left: tuple[Channel, ...]
    attempts: int = 0
    not_before: float = 0.0


@dataclass(frozen=True)
class AlertState:
    """What the sensor keeps in its cursor.

    `after` is the id of the last failure of a run that was looked at; `waiting` the failed runs that a retry may
    take up again, with the time since when; `said` the conditions that were alerted and still hold.
    """

    after: int
    waiting: Mapping[str, float] = field(default_factory=dict)
    said: frozenset[str] = frozenset()
    outbox: tuple[PendingAlert, ...] = ()

    def to_json(self) -> str:
        """The cursor's text."""
        data = {"version": _VERSION, **asdict(self), "waiting": dict(self.waiting), "said": sorted(self.said)}
        return json.dumps(data)

    @classmethod
    def from_json(cls, text: str | None) -> "AlertState | None":
        """The ledger that a cursor holds; None for no cursor, or one that cannot be read."""
        try:
            data = json.loads(text or "")
            if data["version"] != _VERSION:
                return None
            return cls(
                after=int(data["after"]),
                waiting={str(run_id): float(since) for run_id, since in data["waiting"].items()},
                said=frozenset(map(str, data["said"])),
                outbox=tuple(
                    PendingAlert(
                        Alert(**one["alert"]), tuple(one["left"]), int(one["attempts"]), float(one["not_before"])
                    )
                    for one in data["outbox"]
                ),
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


def deliver(
    outbox: tuple[PendingAlert, ...],
    send: Callable[[Channel, Alert], None],
    now: float,
    in_time: Callable[[], bool],
    say: Callable[[str], None],
) -> tuple[PendingAlert, ...]:
    """Try each letter that is due once on each of its channels; what is left to try again, later each time.

    A letter that nobody took after `MAX_ATTEMPTS` is given up; `say` is told of every failed attempt.
    """
    kept = []
    for letter in outbox:
        if letter.not_before > now or not in_time():
            kept.append(letter)
            continue
        failed = []
        for channel in letter.left:
            try:
                send(channel, letter.alert)
            except TaxiError as error:
                failed.append(channel)
                given_up = letter.attempts + 1 >= MAX_ATTEMPTS
                what = "is given up" if given_up else "will be tried again"
                say(f"Alert {letter.alert.title!r} by {channel} {what} after attempt {letter.attempts + 1}: {error}")
        if failed and letter.attempts + 1 < MAX_ATTEMPTS:
            pause = min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**letter.attempts)
            kept.append(replace(letter, left=tuple(failed), attempts=letter.attempts + 1, not_before=now + pause))
    return tuple(kept)
