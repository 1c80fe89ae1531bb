"""Fetch one URL to a file: conditional requests, resuming, and the checks before a file is published.

Handles URLs and files; datasets, months, templates and Dagster are handled elsewhere. `http` sends the requests,
`part_file` manages the unfinished file, and `file_check` checks the file.
"""

import email.utils
import errno
import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

import requests
import urllib3

from taxi_assets.download import size_limits
from taxi_assets.download.file_check import begins_like_a_page, check_file, name_by_content
from taxi_assets.download.fingerprint import Fingerprint, RawFile, file_name_of, redact
from taxi_assets.download.http import (
    body_length,
    failure_reason,
    fingerprint_of,
    is_page,
    new_session,
    raise_for_status,
    request,
    validator_of,
)
from taxi_assets.download.part_file import CHUNK, PartFile, PartialTransfer, open_part
from taxi_assets.download.retries import RetrySettings, TransientError, with_retries
from taxi_assets.errors import BadFileError, NotPublishedError, SourceError

Progress = Callable[[int, int | None], None]
_PERMANENT_ERRNOS = (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)", re.ASCII)
_DEFAULT_RETRY = RetrySettings()
# Answers of servers and signed addresses that allow GET alone.
_NO_HEAD = (403, 405, 501)


def download(
    url: str,
    folder: Path,
    known: Sequence[Fingerprint] = (),
    retry: RetrySettings = _DEFAULT_RETRY,
    progress: Progress | None = None,
    allow_private: bool = True,
    name: str | None = None,
) -> RawFile:
    """Fetch an http://, https:// or file:// URL into the folder under its published name.

    The file appears there only when it is whole and checked. An interrupted transfer resumes, in this call or in a
    later process, if the source's validator proves that the file is still the same.

    Args:
        url: The file's address. It may hold secrets.
        folder: Where the file goes; created if missing.
        known: Fingerprints of earlier downloads. If one still holds, nothing is read and the result is not modified.
        retry: Timeouts and attempts.
        progress: Called about once a second with the bytes so far and the total, if known.
        allow_private: Whether the URL may lead to this machine or a private network. A redirect from a public
            address to a private one is never followed.
        name: The file's name, if it is not the URL's. A CSV that is a gzip by its content, or the reverse, gets the
            ending of what it is.

    Raises:
        NotPublishedError: HTTP 404 or 410, or no such local file.
        ForbiddenError: HTTP 403.
        SourceError: Another response that a retry would not change.
        SourceUnavailableError: No attempt succeeded. The bytes received are kept to resume.
        BadFileError: The file is not what its name claims. It is deleted.
        DiskFullError: The disk is full.
        SettingsError: The URL cannot be used, or the folder cannot be written.
    """
    name, shown = name or file_name_of(url), redact(url)
    same_url = [fingerprint for fingerprint in known if fingerprint.url == shown]
    with open_part(folder, name, retry.lock_seconds) as part, new_session(allow_private) as session:
        transfer = _Transfer(session, url, part, same_url, retry.timeout_seconds, _ProgressMeter(progress))
        attempt = transfer.copy_local if url.startswith("file:") else transfer.fetch_http
        outcome, attempts = with_retries(shown, retry, attempt)
        if outcome.unchanged is None:
            digest, resumed = part.sha256, part.resumed_bytes
            return RawFile(
                part.publish(), part.target.name, outcome.fingerprint, digest, part.size, False, resumed, attempts
            )
        if outcome.unchanged in same_url:
            return RawFile(None, name, outcome.unchanged, "", outcome.unchanged.bytes or 0, True, 0, attempts)
        # Another process published the file while this one waited for the lock.
        size = part.target.stat().st_size
        fingerprint = replace(outcome.unchanged, bytes=size)
        return RawFile(part.target, name, fingerprint, file_sha256(part.target), size, False, 0, attempts)


def probe(url: str, retry: RetrySettings = _DEFAULT_RETRY, allow_private: bool = True) -> Fingerprint:
    """Return the file's fingerprint by a HEAD request or `stat`, without reading the file.

    A server that refuses HEAD, or that calls the file a page, gets a GET of one byte.

    Raises:
        BadFileError: A page is there instead of the file, as behind a proxy or a login.
        NotPublishedError: As `download`, like the errors below.
        ForbiddenError: HTTP 403.
        SourceError: Another response that a retry would not change.
        SourceUnavailableError: No attempt succeeded.
        SettingsError: The URL cannot be used.
    """
    file_name_of(url)
    shown = redact(url)
    with new_session(allow_private) as session:

        def attempt() -> Fingerprint:
            if url.startswith("file:"):
                file, fingerprint = _open_local(url)
                file.close()
                return fingerprint
            with request(session, "HEAD", url, {}, retry.timeout_seconds) as response:
                if response.status_code == 200 and not is_page(response):
                    return fingerprint_of(response, shown, body_length(response))
                if response.status_code not in (200, *_NO_HEAD):
                    raise_for_status(response, shown)
            return _probe_by_get(session, url, retry.timeout_seconds)

        return with_retries(shown, retry, attempt)[0]


def _probe_by_get(session: requests.Session, url: str, timeout: float) -> Fingerprint:
    shown = redact(url)
    with request(session, "GET", url, {"Range": "bytes=0-0"}, timeout) as response:
        if response.status_code not in (200, 206):
            raise_for_status(response, shown)
        span = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        total = int(span[2]) if span else None
        # The rest is not read: the connection is closed with the response.
        if is_page(response) and begins_like_a_page(response.raw.read1(1, decode_content=False) or b""):
            raise BadFileError(
                f"{shown} answered with a page ({response.headers.get('Content-Type', '')}) where a file of trips was "
                "expected, as a proxy, a login or an error page does; open it in a browser, and check TAXI_SOURCE."
            )
        return fingerprint_of(response, shown, total if response.status_code == 206 else body_length(response))


def file_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class _Outcome:
    fingerprint: Fingerprint
    unchanged: Fingerprint | None = None  # the known fingerprint that still holds, if any


class _ProgressMeter:
    """Calls back about once a second, and at the end."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._last = time.monotonic()

    def update(self, done: int, total: int | None, last: bool = False) -> None:
        if self._progress and (last or time.monotonic() - self._last >= 1.0):
            self._last = time.monotonic()
            self._progress(done, total)


@dataclass(frozen=True)
class _Transfer:
    """The transfer of one URL into one `.part` file. Each call of `fetch_http` or `copy_local` is one attempt."""

    session: requests.Session
    url: str
    part: PartFile
    known: Sequence[Fingerprint]
    timeout: float
    meter: _ProgressMeter

    def fetch_http(self) -> _Outcome:
        """Send one request, or a second one if the server cannot continue the partial file."""
        shown = redact(self.url)
        partial = self.part.resumable(shown)
        # Servers differ in how they combine If-None-Match with If-Range, and the response's headers suffice.
        headers = _conditions(self._condition_fingerprints())
        if partial:
            headers = {"Range": f"bytes={partial.size}-", "If-Range": partial.validator}
        with request(self.session, "GET", self.url, headers, self.timeout) as response:
            if partial and response.status_code in (206, 416):
                outcome = self._continue(response, partial)
            elif response.status_code == 304 and headers and not partial:
                return self._unmodified(response)
            elif response.status_code == 200:
                fingerprint = fingerprint_of(response, shown, body_length(response))
                outcome = self._receive(response, fingerprint, 0, validator_of(response))
            else:
                raise_for_status(response, shown)
        if outcome:
            return outcome
        self.part.begin(Fingerprint(shown), None, 0)
        return self.fetch_http()

    def copy_local(self) -> _Outcome:
        """Copy the file of a file:// URL, always from its beginning."""
        file, fingerprint = _open_local(self.url)
        with file:
            for candidate in self.known:
                if candidate.unchanged(fingerprint):
                    return _Outcome(fingerprint, candidate)
            self._check_size(fingerprint.bytes or 0)
            self.part.require_space(fingerprint.bytes or 0)
            self.part.begin(fingerprint, None, 0)
            while chunk := _read_local(file, self.url):
                self.part.write(chunk)
                self.meter.update(self.part.size, fingerprint.bytes)
            after = _stat_fingerprint(self.url, os.fstat(file.fileno()))
            if after != fingerprint or self.part.size != fingerprint.bytes:
                raise TransientError("it changed while it was read")
        return self._checked(fingerprint)

    def _published_meanwhile(self) -> list[Fingerprint]:
        found = self.part.published_meanwhile
        return [found] if found and found.url == redact(self.url) and found.can_compare else []

    def _condition_fingerprints(self) -> Sequence[Fingerprint]:
        # Never both: a 304 without an ETag would not show which of them holds.
        return self._published_meanwhile() or self.known

    def _unmodified(self, response: requests.Response) -> _Outcome:
        sent, received = self._condition_fingerprints(), fingerprint_of(response, redact(self.url), None)
        holds = next((one for one in sent if received.etag and one.unchanged(received)), sent[0])
        # A file that the lake has comes before one that another process has just fetched.
        return _Outcome(holds, next((one for one in self.known if one.unchanged(holds)), holds))

    def _continue(self, response: requests.Response, partial: PartialTransfer) -> _Outcome | None:
        span = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if response.status_code == 416 or not span or int(span[1]) != partial.size:
            return None
        received, recorded = fingerprint_of(response, redact(self.url), int(span[2])), partial.fingerprint
        # A response to If-Range may omit headers that have not changed.
        received = replace(
            received,
            etag=received.etag or recorded.etag,
            last_modified=received.last_modified or recorded.last_modified,
        )
        same = (received.etag, recorded.bytes or received.bytes) == (recorded.etag, received.bytes)
        if not same or (not received.etag and received.last_modified != recorded.last_modified):
            return None
        return self._receive(response, received, partial.size, partial.validator)

    def _receive(
        self, response: requests.Response, fingerprint: Fingerprint, offset: int, validator: str | None
    ) -> _Outcome:
        for candidate in (*self.known, *self._published_meanwhile()):
            if candidate.unchanged(fingerprint):
                return _Outcome(fingerprint, candidate)
        total = fingerprint.bytes
        if total is not None:
            self._check_size(total)
            self.part.require_space(total)
        self.part.begin(fingerprint, validator, offset)
        while chunk := self._read(response, total):
            # A response without a declared length may never end.
            self._check_size(self.part.size + len(chunk))
            self.part.write(chunk)
            self.meter.update(self.part.size, total)
        if total is not None and self.part.size != total:
            raise TransientError(f"{self.part.size} of {total} bytes came")
        return self._checked(fingerprint)

    def _check_size(self, size: int) -> None:
        if size > size_limits.MAX_FILE_BYTES:
            raise BadFileError(
                f"{redact(self.url)} sends {size} bytes or more where at most {size_limits.MAX_FILE_BYTES} were "
                "expected, several times the largest month; check TAXI_SOURCE."
            )

    def _read(self, response: requests.Response, total: int | None) -> bytes:
        try:
            # `read1` returns what has arrived, so that no byte is lost when the connection breaks.
            return response.raw.read1(CHUNK, decode_content=False) or b""
        except urllib3.exceptions.HTTPError as error:
            of = "" if total is None else f" of {total}"
            reason = f"{failure_reason(error, self.timeout)} after {self.part.size}{of} bytes"
        raise TransientError(reason)

    def _checked(self, fingerprint: Fingerprint) -> _Outcome:
        try:
            name = self.part.target.name
            self.part.rename_target(name_by_content(name, check_file(self.part.path, name)))
        except BadFileError as error:
            raise BadFileError(f"{redact(self.url)} sent no usable file: {error}") from None
        self.meter.update(self.part.size, self.part.size, last=True)
        return _Outcome(replace(fingerprint, bytes=self.part.size))


def _conditions(fingerprints: Sequence[Fingerprint]) -> dict[str, str]:
    etags = [one.etag for one in fingerprints if one.etag]
    if etags:
        return {"If-None-Match": ", ".join(etags)}
    dates = [one.last_modified for one in fingerprints if one.last_modified]
    return {"If-Modified-Since": dates[-1]} if dates else {}


def _open_local(url: str) -> tuple[BinaryIO, Fingerprint]:
    shown = redact(url)
    path = Path(unquote(urlsplit(url).path))
    try:
        # Opening a pipe would wait for its writer, so the file type is checked first.
        if stat.S_ISREG(path.stat().st_mode):
            file = path.open("rb")
            return file, _stat_fingerprint(url, os.fstat(file.fileno()))
    except (FileNotFoundError, NotADirectoryError):
        raise NotPublishedError(f"{shown} is not published (no such file on this machine).") from None
    except OSError as error:
        raise _convert(error, shown) from None
    raise SourceError(f"{shown} is not a regular file; check TAXI_SOURCE.")


def _read_local(file: BinaryIO, url: str) -> bytes:
    try:
        return file.read(CHUNK)
    except OSError as error:
        raise _convert(error, redact(url)) from None


def _convert(error: OSError, shown: str) -> Exception:
    if error.errno in _PERMANENT_ERRNOS:
        return SourceError(f"{shown} cannot be read ({error.strerror}); mend its permissions or check TAXI_SOURCE.")
    return TransientError(f"it cannot be read ({error.strerror})")


def _stat_fingerprint(url: str, status: os.stat_result) -> Fingerprint:
    return Fingerprint(
        url=redact(url),
        etag=f'"{status.st_size:x}-{status.st_mtime_ns:x}"',
        last_modified=email.utils.formatdate(status.st_mtime, usegmt=True),
        bytes=status.st_size,
    )
