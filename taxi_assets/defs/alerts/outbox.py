"""Which alerts were sent and which are pending: the state of the alerts sensor, as plain values."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from taxi_assets.errors import TaxiError
from taxi_assets.notifications.notifier import Alert, Channel

MAX_ATTEMPTS = 8
FIRST_PAUSE_SECONDS = 30.0
MAX_PAUSE_SECONDS = 3600.0
_VERSION = 1


@dataclass(frozen=True)
class PendingAlert:
    """An alert that is still to be sent: by which channels, after how many attempts, and not before when."""

    alert: Alert
    channels: tuple[Channel, ...]
    attempts: int = 0
    not_before: float = 0.0

    def to_values(self) -> dict[str, Any]:
        """Return the alert as the cursor holds it."""
        return {
            "alert": vars(self.alert),
            "left": self.channels,
            "attempts": self.attempts,
            "not_before": self.not_before,
        }

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "PendingAlert":
        """Return the alert that `to_values` made."""
        alert, channels = Alert(**values["alert"]), tuple(values["left"])
        return cls(alert, channels, int(values["attempts"]), float(values["not_before"]))


@dataclass(frozen=True)
class AlertState:
    """What the sensor keeps in its cursor.

    Attributes:
        after: Id of the last run failure that was read.
        waiting: Failed runs that may be retried, with the time of their failure.
        reported: Conditions that were alerted and still hold. The cursor keeps them as `said`, its name in
            cursors of earlier versions.
        outbox: Alerts that are still to be sent.
    """

    after: int
    waiting: Mapping[str, float] = field(default_factory=dict)
    reported: frozenset[str] = frozenset()
    outbox: tuple[PendingAlert, ...] = ()

    def to_json(self) -> str:
        """Return the cursor's text."""
        return json.dumps(
            {
                "version": _VERSION,
                "after": self.after,
                "waiting": dict(self.waiting),
                "said": sorted(self.reported),
                "outbox": [pending.to_values() for pending in self.outbox],
            }
        )

    @classmethod
    def from_json(cls, text: str | None) -> "AlertState | None":
        """Return the state that a cursor holds, or None if it is empty or cannot be read."""
        try:
            data = json.loads(text or "")
            if data["version"] != _VERSION:
                return None
            return cls(
                after=int(data["after"]),
                waiting={str(run_id): float(since) for run_id, since in data["waiting"].items()},
                reported=frozenset(map(str, data["said"])),
                outbox=tuple(map(PendingAlert.from_values, data["outbox"])),
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


def deliver(
    outbox: tuple[PendingAlert, ...],
    send: Callable[[Channel, Alert], None],
    now: float,
    in_time: Callable[[], bool],
    log_failure: Callable[[str], None],
) -> tuple[PendingAlert, ...]:
    """Send each alert that is due once by each of its channels, and return what is left to send.

    Pauses between attempts grow. After `MAX_ATTEMPTS` an alert is dropped. Each failed attempt is logged.
    """
    kept = []
    for pending in outbox:
        if pending.not_before > now or not in_time():
            kept.append(pending)
            continue
        failed = tuple(c for c in pending.channels if not _is_sent(pending, c, send, log_failure))
        if failed and pending.attempts + 1 < MAX_ATTEMPTS:
            pause = min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**pending.attempts)
            kept.append(replace(pending, channels=failed, attempts=pending.attempts + 1, not_before=now + pause))
    return tuple(kept)


def _is_sent(
    pending: PendingAlert,
    channel: Channel,
    send: Callable[[Channel, Alert], None],
    log_failure: Callable[[str], None],
) -> bool:
    try:
        send(channel, pending.alert)
    except TaxiError as error:
        attempt = pending.attempts + 1
        what = "is given up" if attempt >= MAX_ATTEMPTS else "will be tried again"
        log_failure(f"Alert {pending.alert.title!r} by {channel} {what} after attempt {attempt}: {error}")
        return False
    return True
