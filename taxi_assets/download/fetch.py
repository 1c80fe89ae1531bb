"""Fetch one URL to a file: resuming, conditional requests, and the checks before a file counts as whole.

Knows URLs and files, not datasets, months, templates or Dagster. How servers are asked is `transport`'s
business, the unfinished file `partfile`'s, and whether a file is good `filecheck`'s.
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

from taxi_assets.download import size_limits as bounds
from taxi_assets.download.file_check import check_file
from taxi_assets.download.fingerprint import Fingerprint, RawFile, file_name_of, redact
from taxi_assets.download.http import (
    ForbiddenError,
    RetrySettings,
    TransientError,
    body_length,
    fingerprint_of,
    new_session,
    raise_for_status,
    reason_of,
    request,
    validator_of,
    with_retries,
)
from taxi_assets.download.part_file import CHUNK, Begun, PartFile, open_part
from taxi_assets.errors import BadFileError, NotPublishedError, SourceError

__all__ = ["Fingerprint", "ForbiddenError", "Progress", "RawFile", "RetrySettings", "download", "file_sha256", "probe"]

Progress = Callable[[int, int | None], None]
_LASTING_ERRNOS = (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)", re.ASCII)
_DEFAULT_PATIENCE = RetrySettings()


def download(
    url: str,
    folder: Path,
    known: Sequence[Fingerprint] = (),
    retry: RetrySettings = _DEFAULT_PATIENCE,
    progress: Progress | None = None,
    allow_private: bool = True,
) -> RawFile:
    """Fetch an http://, https:// or file:// URL into the folder under its published name.

    The file appears there only when whole and checked. A broken transfer resumes, in this call or in a
    later process, where the source's validator proves that the file is still the same one. With a
    fingerprint in `known` that still holds, nothing is read and the result says not modified.
    `allow_private` lets the URL lead to addresses of this machine and of private networks; a redirect from
    a public address to a private one is refused in any case.

    Raises:
        NotPublishedError: 404 or 410, or no such local file.
        ForbiddenError: 403.
        SourceError: another answer that asking again will not change.
        SourceUnavailableError: the source did not deliver in all attempts; what arrived is kept to resume.
        BadFileError: what arrived is not what the name claims; it is deleted.
        DiskFullError: no space is left.
        SettingsError: the URL cannot be used, or the folder cannot be written.
    """
    name, shown = file_name_of(url), redact(url)
    mine = [fingerprint for fingerprint in known if fingerprint.url == shown]
    with open_part(folder, name, retry.lock_seconds) as part, new_session(allow_private) as session:
        task = _Transfer(session, url, part, mine, retry.timeout_seconds, _Meter(progress))
        found, attempts = with_retries(shown, retry, task.copy if url.startswith("file:") else task.run)
        if found.unchanged is None:
            digest, resumed = part.sha256, part.resumed_bytes
            return RawFile(part.publish(), name, found.fingerprint, digest, part.size, False, resumed, attempts)
        if found.unchanged in mine:
            return RawFile(None, name, found.unchanged, "", found.unchanged.bytes or 0, True, 0, attempts)
        # It is what another process put in place while this one waited for it.
        size = part.target.stat().st_size
        there = replace(found.unchanged, bytes=size)
        return RawFile(part.target, name, there, file_sha256(part.target), size, False, 0, attempts)


def probe(url: str, retry: RetrySettings = _DEFAULT_PATIENCE, allow_private: bool = True) -> Fingerprint:
    """What the source says the file is, by a HEAD request or `stat`, without reading it.

    `allow_private` as with `download`.

    Raises:
        NotPublishedError, ForbiddenError, SourceError, SourceUnavailableError, SettingsError: as `download`.
    """
    file_name_of(url)
    shown = redact(url)
    with new_session(allow_private) as session:

        def ask() -> Fingerprint:
            if url.startswith("file:"):
                file, fingerprint = _open_local(url)
                file.close()
                return fingerprint
            with request(session, "HEAD", url, {}, retry.timeout_seconds) as response:
                if response.status_code != 200:
                    raise_for_status(response, shown)
                return fingerprint_of(response, shown, body_length(response))

        return with_retries(shown, retry, ask)[0]


def file_sha256(path: Path) -> str:
    """Digest of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class _Found:
    fingerprint: Fingerprint
    unchanged: Fingerprint | None = None  # the fingerprint at hand that still holds, if one does


class _Meter:
    """Calls back about once a second and at the end."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._last = time.monotonic()

    def at(self, done: int, total: int | None, last: bool = False) -> None:
        if self._progress and (last or time.monotonic() - self._last >= 1.0):
            self._last = time.monotonic()
            self._progress(done, total)


@dataclass(frozen=True)
class _Transfer:
    """One URL on its way into one `.part` file; each call of `run` or `copy` is one attempt."""

    session: requests.Session
    url: str
    part: PartFile
    known: Sequence[Fingerprint]
    timeout: float
    meter: _Meter

    def run(self) -> _Found:
        """One request, or two where the server cannot continue what is there."""
        shown = redact(self.url)
        begun = self.part.begun(shown)
        # Servers differ in what If-None-Match does beside If-Range; the answer's headers tell as well.
        headers = _conditions(self._asked())
        if begun:
            headers = {"Range": f"bytes={begun.size}-", "If-Range": begun.validator}
        with request(self.session, "GET", self.url, headers, self.timeout) as response:
            if begun and response.status_code in (206, 416):
                found = self._continue(response, begun)
            elif response.status_code == 304 and headers and not begun:
                return self._unmodified(response)
            elif response.status_code == 200:
                fingerprint = fingerprint_of(response, shown, body_length(response))
                found = self._receive(response, fingerprint, 0, validator_of(response))
            else:
                raise_for_status(response, shown)
        if found:
            return found
        self.part.begin(Fingerprint(shown), None, 0)
        return self.run()

    def copy(self) -> _Found:
        """The same for a file:// URL, which is always copied from its beginning."""
        file, fingerprint = _open_local(self.url)
        with file:
            for candidate in self.known:
                if candidate.unchanged(fingerprint):
                    return _Found(fingerprint, candidate)
            self._bound(fingerprint.bytes or 0)
            self.part.need(fingerprint.bytes or 0)
            self.part.begin(fingerprint, None, 0)
            while chunk := _read_local(file, self.url):
                self.part.write(chunk)
                self.meter.at(self.part.size, fingerprint.bytes)
            after = _stat_fingerprint(self.url, os.fstat(file.fileno()))
            if after != fingerprint or self.part.size != fingerprint.bytes:
                raise TransientError("it changed while it was read")
        return self._checked(fingerprint)

    def _finished_meanwhile(self) -> list[Fingerprint]:
        there = self.part.finished_meanwhile
        return [there] if there and there.url == redact(self.url) and there.can_compare else []

    def _at_hand(self) -> list[Fingerprint]:
        return [*self.known, *self._finished_meanwhile()]

    def _asked(self) -> Sequence[Fingerprint]:
        # One or the other: a 304 without ETag would not tell which of both still holds.
        return self._finished_meanwhile() or self.known

    def _unmodified(self, response: requests.Response) -> _Found:
        said = fingerprint_of(response, redact(self.url), None)
        holds = next((one for one in self._asked() if said.etag and one.unchanged(said)), self._asked()[0])
        # What the lake has comes before what another process fetched just now.
        return _Found(holds, next((one for one in self.known if one.unchanged(holds)), holds))

    def _continue(self, response: requests.Response, begun: Begun) -> _Found | None:
        span = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if response.status_code == 416 or not span or int(span[1]) != begun.size:
            return None
        said, noted = fingerprint_of(response, redact(self.url), int(span[2])), begun.fingerprint
        # An answer to If-Range may leave out what it only would repeat.
        said = replace(said, etag=said.etag or noted.etag, last_modified=said.last_modified or noted.last_modified)
        same = (said.etag, noted.bytes or said.bytes) == (noted.etag, said.bytes)
        if not same or (not said.etag and said.last_modified != noted.last_modified):
            return None
        return self._receive(response, said, begun.size, begun.validator)

    def _receive(
        self, response: requests.Response, fingerprint: Fingerprint, offset: int, validator: str | None
    ) -> _Found:
        for candidate in self._at_hand():
            if candidate.unchanged(fingerprint):
                return _Found(fingerprint, candidate)
        total = fingerprint.bytes
        if total is not None:
            self._bound(total)
            self.part.need(total)
        self.part.begin(fingerprint, validator, offset)
        while chunk := self._read(response, total):
            # A server that does not say how much comes may never end.
            self._bound(self.part.size + len(chunk))
            self.part.write(chunk)
            self.meter.at(self.part.size, total)
        if total is not None and self.part.size != total:
            raise TransientError(f"{self.part.size} of {total} bytes came")
        return self._checked(fingerprint)

    def _bound(self, size: int) -> None:
        if size > bounds.MAX_FILE_BYTES:
            raise BadFileError(
                f"{redact(self.url)} sends {size} bytes or more where at most {bounds.MAX_FILE_BYTES} were expected, "
                "several times the largest month; check TAXI_SOURCE."
            )

    def _read(self, response: requests.Response, total: int | None) -> bytes:
        try:
            # `read1` hands over what has come, so that nothing is lost with a connection that breaks.
            return response.raw.read1(CHUNK, decode_content=False) or b""
        except urllib3.exceptions.HTTPError as error:
            of = "" if total is None else f" of {total}"
            reason = f"{reason_of(error, self.timeout)} after {self.part.size}{of} bytes"
        raise TransientError(reason)

    def _checked(self, fingerprint: Fingerprint) -> _Found:
        try:
            check_file(self.part.path, self.part.target.name)
        except BadFileError as error:
            raise BadFileError(f"{redact(self.url)} sent no usable file: {error}") from None
        self.meter.at(self.part.size, self.part.size, last=True)
        return _Found(replace(fingerprint, bytes=self.part.size))


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
        # Opening a pipe would wait for its writer, so the kind of file is asked first.
        if stat.S_ISREG(path.stat().st_mode):
            file = path.open("rb")
            return file, _stat_fingerprint(url, os.fstat(file.fileno()))
    except (FileNotFoundError, NotADirectoryError):
        raise NotPublishedError(f"{shown} is not published (no such file on this machine).") from None
    except OSError as error:
        raise _local_fault(error, shown) from None
    raise SourceError(f"{shown} is not a regular file; check TAXI_SOURCE.")


def _read_local(file: BinaryIO, url: str) -> bytes:
    try:
        return file.read(CHUNK)
    except OSError as error:
        raise _local_fault(error, redact(url)) from None


def _local_fault(error: OSError, shown: str) -> Exception:
    if error.errno in _LASTING_ERRNOS:
        return SourceError(f"{shown} cannot be read ({error.strerror}); mend its permissions or check TAXI_SOURCE.")
    return TransientError(f"it cannot be read ({error.strerror})")


def _stat_fingerprint(url: str, status: os.stat_result) -> Fingerprint:
    return Fingerprint(
        url=redact(url),
        etag=f'"{status.st_size:x}-{status.st_mtime_ns:x}"',
        last_modified=email.utils.formatdate(status.st_mtime, usegmt=True),
        bytes=status.st_size,
    )
