"""Send one HTTP request and interpret its response; nothing here touches a file.

No error raised here holds a URL's user info or query, nor the text of an error of requests, which may hold them.
"""

import email.utils
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NoReturn

import requests
import urllib3

from taxi_assets import __version__
from taxi_assets.download.address_guard import BlockedRequestError, GuardedSession
from taxi_assets.download.fingerprint import Fingerprint, redact
from taxi_assets.download.retries import TransientError, parse_retry_after
from taxi_assets.errors import DOCTOR, NotPublishedError, SourceError

MAX_REDIRECTS = 5
_PAGES = ("text/html", "text/xml", "application/xml", "application/json")
_INVALID_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
    requests.exceptions.InvalidProxyURL,
)


class ForbiddenError(SourceError):
    """HTTP 403: access is denied or, on hosts in front of S3, the file does not exist."""


def new_session(allow_private: bool) -> requests.Session:
    """Return a session with this project's User-Agent, no content encoding, and checked addresses."""
    session = GuardedSession(allow_private)
    session.max_redirects = MAX_REDIRECTS
    # Otherwise Content-Length may be that of an encoding, and a .csv.gz may be taken for an encoded .csv.
    session.headers.update({"User-Agent": f"taxi-assets/{__version__}", "Accept-Encoding": "identity", "Accept": "*/*"})
    return session


@contextmanager
def request(
    session: requests.Session, method: str, url: str, headers: dict[str, str], timeout: float
) -> Iterator[requests.Response]:
    """Send one request and yield its streamed response, of any status.

    Raises:
        TransientError: No response came, or the connection broke inside the block.
        SourceError: The address, its redirects or its certificate cannot be used.
    """
    failure: Exception
    try:
        with session.request(method, url, headers=headers, stream=True, timeout=timeout, allow_redirects=True) as found:
            yield found
            return
    except (BlockedRequestError, requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        failure = _convert(error, redact(url), timeout)
    # Not chained: an error of requests holds the whole URL and would be printed as the cause.
    raise failure from None


def _convert(error: Exception, shown: str, timeout: float) -> Exception:
    if isinstance(error, BlockedRequestError):
        return SourceError(f"{shown} {error}")
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return SourceError(f"{shown} redirects more than {MAX_REDIRECTS} times; check the address in TAXI_SOURCE.")
    if isinstance(error, _INVALID_ADDRESS):
        return SourceError(
            f"{shown} or the address it redirects to cannot be requested ({type(error).__name__}) where an http:// or "
            "https:// URL was expected; check TAXI_SOURCE."
        )
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return SourceError(
            f"{shown} shows a certificate that this machine does not trust; check the address in TAXI_SOURCE, "
            f"the clock, and REQUESTS_CA_BUNDLE where a proxy inspects traffic. {DOCTOR}"
        )
    return TransientError(failure_reason(error, timeout))


def failure_reason(error: BaseException, timeout: float) -> str:
    """Return in words why a connection failed."""
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
    """Raise the error that an unwanted status stands for.

    Raises:
        NotPublishedError: 404 or 410.
        ForbiddenError: 403.
        TransientError: 408, 425, 429 and 5xx, except 501 and 505.
        SourceError: Any other status.
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
        raise TransientError(f"it answered HTTP {status}", parse_retry_after(response.headers.get("Retry-After", "")))
    raise SourceError(
        f"{shown} answered HTTP {status} where 200 was expected; check the address and the access in TAXI_SOURCE. "
        f"{DOCTOR}"
    )


def body_length(response: requests.Response) -> int | None:
    """Return the length that the body must have, or None if the server does not declare it."""
    text = response.headers.get("Content-Length", "").strip()
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return int(text) if text.isascii() and text.isdecimal() and not chunked else None


def is_page(response: requests.Response) -> bool:
    """Return whether the response is declared as HTML, XML or JSON, as no raw file is, unless its server errs."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind in _PAGES or kind.endswith(("+xml", "+json"))


def fingerprint_of(response: requests.Response, shown: str, total: int | None) -> Fingerprint:
    """Return the file's fingerprint from the response's headers."""
    return Fingerprint(shown, response.headers.get("ETag"), response.headers.get("Last-Modified"), total)


def validator_of(response: requests.Response) -> str | None:
    """Return the validator for If-Range: a strong ETag, or a date at least 1 s older than the response (RFC 9110)."""
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
