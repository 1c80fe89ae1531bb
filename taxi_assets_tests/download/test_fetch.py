"""Fetching one URL from a real HTTP server: good answers, conditional requests, faults that pass and that last."""

import gzip
import socket
import time
from pathlib import Path

import pytest

from taxi_assets.download import size_limits
from taxi_assets.download.fetch import download, probe
from taxi_assets.download.fingerprint import Fingerprint
from taxi_assets.download.http import ForbiddenError
from taxi_assets.download.retries import backoff_delay
from taxi_assets.errors import (
    BadFileError,
    NotPublishedError,
    SourceError,
    SourceUnavailableError,
)
from taxi_assets_tests.support.download_helpers import (
    CSV,
    DATA,
    FAST,
    HALF,
    IMPATIENT,
    NAME,
    ONCE,
    assert_whole,
    names,
)
from taxi_assets_tests.support.http_server import Fault, FileServer

# --- Good answers ---------------------------------------------------------------------------------


def test_a_file_arrives_whole_under_its_published_name(server: FileServer, folder: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    raw = download(server.url(f"/{NAME}"), folder, retry=FAST, progress=lambda *call: calls.append(call))
    assert_whole(raw, folder)
    assert (raw.file_name, raw.attempts, raw.resumed_bytes) == (NAME, 1, 0)
    assert raw.fingerprint.url == server.url(f"/{NAME}")
    assert raw.fingerprint.etag
    assert raw.fingerprint.last_modified
    assert calls == [(len(DATA), len(DATA))]
    sent = server.seen[0].headers
    assert sent["Accept-Encoding"] == "identity"
    assert sent["User-Agent"].startswith("taxi-assets/")


@pytest.mark.parametrize(
    "fault", [Fault(chunked=True), Fault(no_length=True), Fault(headers={"Content-Encoding": "gzip"})]
)
def test_the_bytes_are_kept_as_published_however_they_come(server: FileServer, folder: Path, fault: Fault) -> None:
    server.always(f"/{NAME}", fault)
    assert_whole(download(server.url(f"/{NAME}"), folder, retry=ONCE), folder)


def test_redirects_are_followed_to_http_only_and_five_times(server: FileServer, folder: Path) -> None:
    for hop in range(6):
        target = f"/{NAME}" if hop == 0 else f"/{hop - 1}/{NAME}"
        server.always(f"/{hop}/{NAME}", Fault(redirect=target))
    assert_whole(download(server.url(f"/4/{NAME}"), folder, retry=FAST), folder)
    with pytest.raises(SourceError, match="redirects more than 5 times"):
        download(server.url(f"/5/{NAME}"), folder, retry=FAST)
    server.always("/out.csv", Fault(redirect="file:///etc/passwd"))
    with pytest.raises(SourceError, match="InvalidSchema"):
        download(server.url("/out.csv"), folder, retry=FAST)
    assert names(folder) == [NAME]


# --- Conditional requests -------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault(), Fault(no_etag=True), Fault(no_last_modified=True)])
@pytest.mark.parametrize("ignores", [False, True])
def test_an_unchanged_file_is_not_read_again(server: FileServer, folder: Path, fault: Fault, ignores: bool) -> None:
    url = server.url(f"/{NAME}")
    server.always(f"/{NAME}", fault)
    known = download(url, folder, retry=FAST).fingerprint
    if ignores:
        server.always(f"/{NAME}", Fault(**{**vars(fault), "ignore_conditions": True}))
    raw = download(url, folder, [Fingerprint("https://elsewhere/x.csv", '"1"'), known], FAST)
    assert (raw.path, raw.not_modified, raw.fingerprint, raw.bytes, raw.sha256) == (None, True, known, len(DATA), "")
    assert [seen.status for seen in server.seen] == [200, 200 if ignores else 304]
    assert names(folder) == [NAME]


def test_a_changed_file_replaces_the_old_one(server: FileServer, folder: Path) -> None:
    url = server.url(f"/{NAME}")
    known = download(url, folder, retry=FAST).fingerprint
    other = gzip.compress(CSV + b"1,1\n")
    server.put(NAME, other)
    raw = download(url, folder, [known], FAST)
    assert_whole(raw, folder, other)
    assert raw.fingerprint != known


def test_a_source_without_validators_is_always_read(server: FileServer, folder: Path) -> None:
    url = server.url(f"/{NAME}")
    server.always(f"/{NAME}", Fault(no_etag=True, no_last_modified=True))
    known = download(url, folder, retry=FAST).fingerprint
    assert (known.etag, known.last_modified) == (None, None)
    assert_whole(download(url, folder, [known], FAST), folder)
    assert [seen.status for seen in server.seen] == [200, 200]


def test_a_part_of_what_is_already_known_is_dropped(server: FileServer, folder: Path) -> None:
    url = server.url(f"/{NAME}")
    known = probe(url, FAST)
    server.plan(f"/{NAME}", Fault(cut_after=HALF))
    with pytest.raises(SourceUnavailableError):
        download(url, folder, retry=ONCE)
    assert len(names(folder)) == 2
    assert download(url, folder, [known], FAST).not_modified
    assert names(folder) == []


# --- Faults that pass -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408, 520])
def test_passing_statuses_are_asked_again(server: FileServer, folder: Path, status: int) -> None:
    server.plan(f"/{NAME}", Fault(status=status), Fault(status=status))
    raw = download(server.url(f"/{NAME}"), folder, retry=FAST)
    assert_whole(raw, folder)
    assert raw.attempts == 3


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault(status=503), "it answered HTTP 503"),
        (Fault(hang_before=True), "nothing came for 0.3 s"),
        (Fault(hang_after=1000, ignore_range=True), "nothing came for 0.3 s after 1000 of"),
        (Fault(cut_after=1000, ignore_range=True), "the connection broke after 1000 of"),
        (Fault(cut_after=0), "the connection broke after 0 of"),
        (Fault(content_length=len(DATA) + 10, ignore_range=True, cut_after=len(DATA)), "the connection broke after"),
        (Fault(chunked=True, cut_after=1000, ignore_range=True), "the connection broke after 1000 bytes"),
    ],
)
def test_a_source_that_does_not_deliver_is_named_with_the_reason(
    server: FileServer, folder: Path, fault: Fault, says: str
) -> None:
    server.always(f"/{NAME}", fault)
    with pytest.raises(SourceUnavailableError) as caught:
        download(server.url(f"/{NAME}"), folder, retry=IMPATIENT)
    assert says in str(caught.value)
    assert "tried 2 times" in str(caught.value)
    assert len(server.requests_of(f"/{NAME}")) == 2
    assert NAME not in names(folder)
    server.always(f"/{NAME}", Fault())
    assert_whole(download(server.url(f"/{NAME}"), folder, retry=FAST), folder)


def test_refused_connections_and_unknown_hosts_are_unavailable(folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SourceUnavailableError, match=r"the connection was refused \(tried 2 times"):
        download(f"http://127.0.0.1:{port}/a.csv", folder, retry=IMPATIENT)
    with pytest.raises(SourceUnavailableError, match="did not deliver"):
        download("http://nowhere.invalid/a.csv", folder, retry=IMPATIENT)
    assert names(folder) == []


def test_retry_after_is_honoured_up_to_a_bound(server: FileServer, folder: Path) -> None:
    server.plan(f"/{NAME}", Fault(status=429, retry_after="1"))
    started = time.monotonic()
    download(server.url(f"/{NAME}"), folder, retry=FAST)
    assert time.monotonic() - started >= 1
    assert backoff_delay(1, 0.01, 1) == 1
    assert backoff_delay(1, 0.01, 3600) == 60
    assert backoff_delay(1, 0.01, None) <= 0.01
    assert 4 <= backoff_delay(4, 1.0) <= 8
    assert backoff_delay(50, 1.0) <= 60


@pytest.mark.parametrize("text", ["Fri, 31 Dec 1999 23:59:59 GMT", "soon", "-1", "Fri, 99 Foo 1999"])
def test_an_odd_retry_after_does_no_harm(server: FileServer, folder: Path, text: str) -> None:
    server.plan(f"/{NAME}", Fault(status=503, retry_after=text))
    assert download(server.url(f"/{NAME}"), folder, retry=FAST).attempts == 2


# --- Lasting faults -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, NotPublishedError), (410, NotPublishedError), (403, ForbiddenError), (401, SourceError), (204, SourceError),
     (304, SourceError), (400, SourceError), (501, SourceError)],
)  # fmt: skip
def test_lasting_statuses_are_not_asked_again(
    server: FileServer, folder: Path, status: int, error: type[Exception]
) -> None:
    server.always(f"/{NAME}", Fault(status=status))
    with pytest.raises(error, match=f"HTTP {status}"):
        download(server.url(f"/{NAME}"), folder, retry=FAST)
    assert len(server.seen) == 1
    assert names(folder) == []


@pytest.mark.parametrize(
    "body", [b"<html><title>Sign in to the network</title></html>", b"", DATA[:-1], gzip.compress(b"no header\n")]
)
def test_what_is_not_the_file_never_replaces_a_good_one(server: FileServer, folder: Path, body: bytes) -> None:
    url = server.url(f"/{NAME}")
    download(url, folder, retry=FAST)
    server.always(f"/{NAME}", Fault(body=body))
    with pytest.raises(BadFileError):
        download(url, folder, retry=FAST)
    assert names(folder) == [NAME]
    assert (folder / NAME).read_bytes() == DATA


def test_a_broken_part_is_removed_when_the_source_no_longer_has_the_file(server: FileServer, folder: Path) -> None:
    server.plan(f"/{NAME}", Fault(cut_after=HALF), Fault(status=404))
    with pytest.raises(NotPublishedError):
        download(server.url(f"/{NAME}"), folder, retry=FAST)
    assert names(folder) == []


# --- Sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault(), Fault(no_length=True), Fault(chunked=True)])
def test_a_file_larger_than_any_month_is_refused(
    server: FileServer, folder: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(size_limits, "MAX_FILE_BYTES", HALF)
    server.always(f"/{NAME}", fault)
    with pytest.raises(BadFileError, match=f"sends [0-9]+ bytes or more where at most {HALF} were expected"):
        download(server.url(f"/{NAME}"), folder, retry=FAST)
    assert names(folder) == []
    assert len(server.requests_of(f"/{NAME}")) == 1
