"""Repeat attempts that failed for a transient reason: backoff, jitter and Retry-After, on tenacity."""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

import tenacity
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from taxi_assets.errors import DOCTOR, SourceUnavailableError

MAX_DELAY_SECONDS = 60.0

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetrySettings:
    """Timeouts and attempts for one file; `lock_seconds` limits the wait for another process that fetches it."""

    timeout_seconds: float = 30.0
    attempts: int = 4
    backoff_seconds: float = 1.0
    lock_seconds: float = 1800.0


class TransientError(Exception):
    """A fault that may be gone at the next attempt. It never leaves `with_retries`."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


def with_retries(shown: str, retry: RetrySettings, attempt: Callable[[], T]) -> tuple[T, int]:
    """Call `attempt` until it succeeds. Return its result and the number of attempts.

    Args:
        shown: The redacted URL, for the log and the error.
        retry: How often to try and how long to wait in between.
        attempt: The work. It raises TransientError if another attempt may succeed.

    Raises:
        SourceUnavailableError: Every attempt raised TransientError. Any other error is raised at once.
    """

    def delay(state: tenacity.RetryCallState) -> float:
        return backoff_delay(state.attempt_number, retry.backoff_seconds, _fault(state).retry_after)

    def log_retry(state: tenacity.RetryCallState) -> None:
        wait, number = state.next_action.sleep if state.next_action else 0.0, state.attempt_number + 1
        log.warning("%s: %s; attempt %d of %d in %.1f s", shown, _fault(state).reason, number, retry.attempts, wait)

    def give_up(state: tenacity.RetryCallState) -> NoReturn:
        times = "once" if retry.attempts == 1 else f"{retry.attempts} times"
        raise SourceUnavailableError(
            f"{shown} did not deliver: {_fault(state).reason} (tried {times} in "
            f"{state.seconds_since_start or 0:.0f} s); run it again later, or add a mirror to TAXI_SOURCE. {DOCTOR}"
        )

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(retry.attempts),
        retry=tenacity.retry_if_exception_type(TransientError),
        wait=delay,
        before_sleep=log_retry,
        # Runs outside of any `except`: the error must not carry a cause that holds the whole URL.
        retry_error_callback=give_up,
    )
    return retrying(attempt), int(retrying.statistics["attempt_number"])


def backoff_delay(number: int, backoff_seconds: float, retry_after: float | None = None) -> float:
    """Return the delay after attempt `number`: exponential backoff with jitter or `retry_after`, at most 60 s.

    Jitter spreads the months of a backfill that failed at the same moment.
    """
    backoff: float = min(MAX_DELAY_SECONDS, backoff_seconds * 2.0 ** (number - 1)) * random.uniform(0.5, 1.0)
    return max(backoff, min(retry_after or 0.0, MAX_DELAY_SECONDS))


def parse_retry_after(text: str) -> float | None:
    """Return the seconds of a Retry-After header, which may hold a date. Return None if it cannot be parsed."""
    try:
        return float(Retry().parse_retry_after(text))
    except (InvalidHeader, ValueError, OverflowError):
        return None


def _fault(state: tenacity.RetryCallState) -> TransientError:
    fault = state.outcome.exception() if state.outcome else None
    assert isinstance(fault, TransientError)
    return fault
