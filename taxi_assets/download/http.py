"""How a source is asked over HTTP, how often, and what its answers mean; nothing here touches a file.

An error made here never holds a URL's user info or query, nor the text of an error of requests, which may.
"""

import email.utils
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn, TypeVar

import requests
import urllib3

from taxi_assets import __version__
from taxi_assets.download.address_guard import GuardedSession, Refused
from taxi_assets.download.fingerprint import Fingerprint, redact
from taxi_assets.errors import NotPublishedError, SourceError, SourceUnavailableError

MAX_RETRY_AFTER_SECONDS = 60.0
MAX_REDIRECTS = 5
_LASTING = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
    requests.exceptions.InvalidProxyURL,
)

T = TypeVar("T")
log = logging.getLogger(__name__)


class ForbiddenError(SourceError):
    """HTTP 403: access is refused, or, on hosts in front of S3, the file does not exist."""


class TransientError(Exception):
    """A fault that another attempt may not meet; never leaves `with_retries`."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


@dataclass(frozen=True)
class RetrySettings:
    """How long to wait for a source and how often to ask; `lock_seconds` is for another process of ours."""

    timeout_seconds: float = 30.0
    attempts: int = 4
    backoff_seconds: float = 1.0
    lock_seconds: float = 1800.0


def with_retries(shown: str, retry: RetrySettings, attempt: Callable[[], T]) -> tuple[T, int]:
    """The attempt's result and its number, after as many attempts as needed and allowed.

    Raises:
        SourceUnavailableError: every attempt met a passing fault; other errors come through at once.
    """
    started = time.monotonic()
    reason = ""
    for number in range(1, retry.attempts + 1):
        retry_after: float | None = None
        try:
            return attempt(), number
        except TransientError as fault:
            reason, retry_after = fault.reason, fault.retry_after
        if number < retry.attempts:
            wait = pause(number, retry.backoff_seconds, retry_after)
            log.warning("%s: %s; attempt %d of %d in %.1f s", shown, reason, number + 1, retry.attempts, wait)
            time.sleep(wait)
    times = "once" if retry.attempts == 1 else f"{retry.attempts} times"
    raise SourceUnavailableError(
        f"{shown} did not deliver: {reason} (asked {times} in {time.monotonic() - started:.0f} s); "
        "run it again later, or add a mirror to TAXI_SOURCE."
    )


def pause(number: int, backoff_seconds: float, retry_after: float | None = None) -> float:
    """Seconds to wait after the attempt of that number: doubling, jittered, or what the server asks for, bounded.

    Jitter keeps the months of a backfill, which failed together, from coming back together.
    """
    own: float = min(MAX_RETRY_AFTER_SECONDS, backoff_seconds * 2.0 ** (number - 1)) * random.uniform(0.5, 1.0)
    return max(own, min(retry_after or 0.0, MAX_RETRY_AFTER_SECONDS))


def new_session(allow_private: bool) -> requests.Session:
    """A session that identifies this project, wants files as they are, and asks only where it may."""
    session = GuardedSession(allow_private)
    session.max_redirects = MAX_REDIRECTS
    # Otherwise Content-Length may be that of an encoding, and a .csv.gz may be taken for an encoded .csv.
    session.headers.update({"User-Agent": f"taxi-assets/{__version__}", "Accept-Encoding": "identity", "Accept": "*/*"})
    return session


@contextmanager
def request(
    session: requests.Session, method: str, url: str, headers: dict[str, str], timeout: float
) -> Iterator[requests.Response]:
    """One request and its streamed answer, of any status.

    Raises:
        TransientError: no answer came, or it broke off in the block.
        SourceError: the address, its redirects or its certificate cannot be followed.
    """
    shown = redact(url)
    failure: Exception
    try:
        with session.request(method, url, headers=headers, stream=True, timeout=timeout, allow_redirects=True) as found:
            yield found
            return
    except Refused as refused:
        failure = SourceError(f"{shown} {refused}")
    except requests.exceptions.TooManyRedirects:
        failure = SourceError(f"{shown} redirects more than {MAX_REDIRECTS} times; check the address in TAXI_SOURCE.")
    except _LASTING as error:
        failure = SourceError(
            f"{shown} or the address it redirects to cannot be asked ({type(error).__name__}) where an http:// or "
            "https:// URL was expected; check TAXI_SOURCE."
        )
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            failure = SourceError(
                f"{shown} shows a certificate that this machine does not trust; check the address in TAXI_SOURCE, "
                "the clock, and REQUESTS_CA_BUNDLE where a proxy inspects traffic."
            )
        else:
            failure = TransientError(reason_of(error, timeout))
    # Not from the error of requests, which holds the whole URL and would be shown as the cause.
    raise failure from None


def reason_of(error: BaseException, timeout: float) -> str:
    """In words, why a connection failed."""
    reasons: dict[type[BaseException], str] = {
        urllib3.exceptions.NameResolutionError: "its host name was not found (DNS)",
        urllib3.exceptions.ProxyError: "the proxy did not connect",
        ConnectionRefusedError: "the connection was refused",
        TimeoutError: f"nothing came for {timeout:g} s",
        urllib3.exceptions.TimeoutError: f"nothing came for {timeout:g} s",
        urllib3.exceptions.NewConnectionError: "no connection could be made",
        urllib3.exceptions.SSLError: "the encrypted connection failed",
    }
    # requests and urllib3 nest the cause as context, as argument or as `reason`.
    seen: list[BaseException] = []
    queue: list[object] = [error]
    while queue:
        link = queue.pop()
        if isinstance(link, BaseException) and not any(link is other for other in seen):
            seen.append(link)
            queue += [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
    for kind, reason in reasons.items():
        if any(isinstance(link, kind) for link in seen):
            return reason
    return "the connection broke"


def raise_for_status(response: requests.Response, shown: str) -> NoReturn:
    """Raise what a status means that is not the wanted one.

    Raises:
        NotPublishedError, ForbiddenError, TransientError, SourceError: by status.
    """
    status = response.status_code
    if status in (404, 410):
        raise NotPublishedError(f"{shown} is not published (HTTP {status}).")
    if status == 403:
        raise ForbiddenError(
            f"{shown} answered HTTP 403, as TLC's own host does for a month not published yet and others where "
            "access is refused; check the month and the access in TAXI_SOURCE."
        )
    if status in (408, 425, 429) or (status >= 500 and status not in (501, 505)):
        raise TransientError(f"it answered HTTP {status}", retry_after(response))
    raise SourceError(
        f"{shown} answered HTTP {status} where 200 was expected; check the address and the access in TAXI_SOURCE."
    )


def retry_after(response: requests.Response) -> float | None:
    """Seconds that the server asks to wait, however it writes them; None where it does not."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    moment = _http_date(text)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds()) if moment else None


def body_length(response: requests.Response) -> int | None:
    """Bytes that the body must have; None where the server does not say."""
    text = response.headers.get("Content-Length", "").strip()
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return int(text) if text.isascii() and text.isdecimal() and not chunked else None


def fingerprint_of(response: requests.Response, shown: str, total: int | None) -> Fingerprint:
    """What the answer's headers say of the file."""
    return Fingerprint(shown, response.headers.get("ETag"), response.headers.get("Last-Modified"), total)


def validator_of(response: requests.Response) -> str | None:
    """What If-Range may carry: a strong ETag, or a date at least a second older than the answer (RFC 9110)."""
    etag = response.headers.get("ETag", "")
    if etag:
        return None if etag.startswith("W/") else etag
    text = response.headers.get("Last-Modified", "")
    modified, now = _http_date(text), _http_date(response.headers.get("Date", ""))
    return text if modified and now and (now - modified).total_seconds() >= 1 else None


def _http_date(text: str) -> datetime | None:
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
