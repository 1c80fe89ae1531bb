"""The kinds of faults, and how often each is drawn."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chaos.daemon_faults import requested_and_killed, requested_and_terminated
from chaos.faults import (
    STATEMENTS,
    WRITES,
    at_random_call,
    clock_steps,
    killed_twice_and_reverted,
    older_run_late,
    paused,
    row_altered,
    signal_at_random_time,
    source_changes_between_requests,
    source_fails,
    three_at_once,
    two_at_once,
    two_at_once_one_killed,
)
from chaos.scene import Scene
from chaos.surroundings import (
    disturbed,
    month_locked,
    objects_changed_by_hand,
    postgres_crashed,
    service_killed,
    service_paused,
    sessions_ended,
)


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    `weight` is how often it is drawn. `outage`: readers may meet errors and gaps. `by_hand`: the
    month itself is changed. `succeeds`: nothing keeps a run from its end.
    `dagster`: it needs the daemon and the webserver.
    """

    act: Callable[[Scene], None]
    weight: int
    outage: bool = False
    by_hand: bool = False
    succeeds: bool = False
    dagster: bool = False


KINDS: Mapping[str, Kind] = {
    "SIGKILL at a random call": Kind(at_random_call("kill"), 20),
    "SIGKILL at a random time": Kind(signal_at_random_time(signal.SIGKILL), 10),
    "SIGTERM at a random time": Kind(signal_at_random_time(signal.SIGTERM), 4),
    "SIGINT at a random time": Kind(signal_at_random_time(signal.SIGINT), 4),
    "SIGINT at a random call": Kind(at_random_call("interrupt"), 4),
    "killed twice, and the source reverts": Kind(killed_twice_and_reverted, 8),
    "paused": Kind(paused, 3, succeeds=True),
    "two runs at once": Kind(two_at_once, 6, succeeds=True),
    "two at once, one killed": Kind(two_at_once_one_killed, 6),
    "three at once, the source changes": Kind(three_at_once, 4),
    "older run late": Kind(older_run_late, 20),
    "source changes between requests": Kind(source_changes_between_requests, 5),
    "source fails": Kind(source_fails, 6),
    "disk full": Kind(at_random_call("disk-full", WRITES), 5),
    "read-only disk": Kind(at_random_call("read-only", WRITES), 3),
    "PostgreSQL sessions ended": Kind(sessions_ended, 6, outage=True),
    "storage disturbed": Kind(disturbed("gcs"), 6),
    "BigQuery disturbed": Kind(disturbed("bigquery"), 6),
    "disk full in PostgreSQL": Kind(at_random_call("disk-full-in-postgres", STATEMENTS), 4),
    "a row altered on its way": Kind(row_altered, 8),
    "month locked": Kind(month_locked, 8),
    "clock steps": Kind(clock_steps, 4),
    "PostgreSQL crashes": Kind(postgres_crashed, 3, outage=True),
    "service paused": Kind(service_paused, 4),
    "service killed": Kind(service_killed, 2, outage=True),
    "object changed by hand": Kind(objects_changed_by_hand, 4, outage=True, by_hand=True),
    "run of the daemon killed": Kind(requested_and_killed, 10, succeeds=True, dagster=True),
    "run of the daemon terminated": Kind(requested_and_terminated, 10, dagster=True),
}
