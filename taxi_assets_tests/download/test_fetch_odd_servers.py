"""Servers that refuse HEAD, send pages for files, or pack and unpack on the way."""

import gzip
from pathlib import Path

import pytest

from taxi_assets.download.fetch import download, probe
from taxi_assets.errors import BadFileError, NotPublishedError, SourceError
from taxi_assets_tests.support.download_helpers import CSV, DATA, NAME, ONCE
from taxi_assets_tests.support.http_server import Fault, FileServer

PLAIN = NAME.removesuffix(".gz")
HTML = {"Content-Type": "text/html; charset=utf-8"}


@pytest.mark.parametrize("status", [403, 405, 501])
def test_where_head_is_refused_one_byte_is_fetched(server: FileServer, status: int) -> None:
    expected = probe(server.url(f"/{NAME}"), ONCE)
    server.plan(f"/{NAME}", Fault(status=status))
    assert probe(server.url(f"/{NAME}"), ONCE) == expected
    assert expected.bytes == len(DATA)
    last = server.requests_of(f"/{NAME}")[-1]
    assert (last.method, last.headers["Range"], last.status) == ("GET", "bytes=0-0", 206)


def test_a_server_without_head_and_ranges_is_read_no_further_than_its_headers(server: FileServer) -> None:
    server.plan(f"/{NAME}", Fault(status=405), Fault(ignore_range=True))
    assert probe(server.url(f"/{NAME}"), ONCE).bytes == len(DATA)


def test_what_get_refuses_too_keeps_its_meaning(server: FileServer) -> None:
    server.always(f"/{NAME}", Fault(status=403))
    with pytest.raises(SourceError, match="HTTP 403"):
        probe(server.url(f"/{NAME}"), ONCE)
    with pytest.raises(NotPublishedError):
        probe(server.url("/green_tripdata_2020-05.csv.gz"), ONCE)


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b" \n<!doctype html>", b'{"error": 1}'])
def test_a_page_in_place_of_the_file_is_no_file(server: FileServer, body: bytes) -> None:
    server.always(f"/{NAME}", Fault(body=body, headers=HTML))
    with pytest.raises(BadFileError, match="answered with a page"):
        probe(server.url(f"/{NAME}"), ONCE)


def test_a_file_that_is_called_a_page_by_mistake_is_a_file(server: FileServer) -> None:
    server.always(f"/{NAME}", Fault(headers=HTML))
    assert probe(server.url(f"/{NAME}"), ONCE).bytes == len(DATA)


def test_a_gzip_that_comes_unpacked_is_a_csv(server: FileServer, folder: Path) -> None:
    server.put(NAME, CSV)
    raw = download(server.url(f"/{NAME}"), folder, retry=ONCE)
    assert (raw.file_name, raw.path) == (PLAIN, folder / PLAIN)
    assert (folder / PLAIN).read_bytes() == CSV
    assert [path.name for path in folder.iterdir()] == [PLAIN]


def test_a_csv_that_comes_packed_is_a_gzip(server: FileServer, folder: Path) -> None:
    server.put(PLAIN, gzip.compress(CSV))
    server.always(f"/{PLAIN}", Fault(headers={"Content-Encoding": "gzip"}))
    raw = download(server.url(f"/{PLAIN}"), folder, retry=ONCE)
    assert raw.file_name == NAME
    assert gzip.decompress((folder / NAME).read_bytes()) == CSV
    assert [path.name for path in folder.iterdir()] == [NAME]
    assert download(server.url(f"/{PLAIN}"), folder, [raw.fingerprint], ONCE).not_modified
