"""Where a source may lead: judged by the address of each hop, whatever names and redirects say."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from taxi_assets.download import address_guard
from taxi_assets.download.address_guard import BlockedRequestError, GuardedSession, classify
from taxi_assets.download.fetch import download, probe
from taxi_assets.errors import SourceError
from taxi_assets_tests.support.download_helpers import DATA, FAST, NAME, assert_whole, names
from taxi_assets_tests.support.http_server import Fault, FileServer, serve


@pytest.mark.parametrize(
    ("kind", "addresses"),
    [
        ("public", "8.8.8.8 13.32.1.1 2600:9000::1 64:ff9b::808:808 ::ffff:8.8.8.8"),
        ("private", "127.0.0.1 127.8.8.8 10.0.0.1 172.16.0.1 192.168.1.1 100.64.0.1 198.18.0.1 ::1 fd00::1 fec0::1"),
        ("private", "::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 2002:7f00:1:: ::7f00:1"),
        ("forbidden", "169.254.169.254 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe fe80::1 fe80::1%eth0 fd00:ec2::254"),
        ("forbidden", "0.0.0.0 :: 224.0.0.1 255.255.255.255 240.0.0.1 ff02::1 100.100.100.200 168.63.129.16"),
    ],
)
def test_kinds_of_addresses(kind: str, addresses: str) -> None:
    assert {address: classify(address) for address in addresses.split()} == dict.fromkeys(addresses.split(), kind)


@pytest.fixture
def private(tmp_path: Path) -> Iterator[FileServer]:
    """Return a server at 127.0.0.1 that has the file."""
    with serve(tmp_path / "private") as server:
        server.put(NAME, DATA)
        yield server


@pytest.fixture
def public(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """Return a server at 127.0.0.2, which stands for a public address: no other is at hand."""
    monkeypatch.setattr(
        address_guard, "classify", lambda address: "public" if address == "127.0.0.2" else classify(address)
    )
    with serve(tmp_path / "public", "127.0.0.2") as server:
        server.put(NAME, DATA)
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Return what names resolve to: one address after another, and the last one from then on."""
    known: dict[str, list[str]] = {}
    asked = socket.getaddrinfo

    def answer(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        addresses = known.get(host, [host])
        return asked(addresses.pop(0) if len(addresses) > 1 else addresses[0], port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return known


def test_a_private_address_is_asked_only_if_allowed(private: FileServer, folder: Path) -> None:
    url = private.url(f"/{NAME}")
    said = f"^http://127.0.0.1:[0-9]+/{NAME} leads to 127.0.0.1, a private address.* set TAXI_SOURCE_ALLOW_PRIVATE=1"
    with pytest.raises(SourceError, match=said):
        download(url, folder, retry=FAST, allow_private=False)
    with pytest.raises(SourceError, match=said):
        probe(url, FAST, allow_private=False)
    assert private.seen == []
    assert names(folder) == []
    assert_whole(download(url, folder, retry=FAST, allow_private=True), folder)


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]"])
def test_another_spelling_of_a_private_address_is_the_same(private: FileServer, folder: Path, host: str) -> None:
    url = private.url(f"/{NAME}").replace("127.0.0.1", host)
    with pytest.raises(SourceError, match=r"leads to .*, a private address"):
        download(url, folder, retry=FAST, allow_private=False)
    assert private.seen == []


def test_the_address_counts_and_not_the_name(
    private: FileServer, public: FileServer, folder: Path, dns: dict[str, list[str]]
) -> None:
    dns["mirror.example"] = ["127.0.0.1"]
    url = private.url(f"/{NAME}").replace("127.0.0.1", "mirror.example")
    with pytest.raises(SourceError, match=r"^http://mirror\.example.* leads to 127\.0\.0\.1, a private address"):
        download(url, folder, retry=FAST, allow_private=False)
    assert private.seen == []
    dns["mirror.example"] = ["127.0.0.2"]
    url = public.url(f"/{NAME}").replace("127.0.0.2", "mirror.example")
    assert_whole(download(url, folder, retry=FAST, allow_private=False), folder)


def test_a_name_that_resolves_otherwise_the_second_time_is_refused_before_a_byte_is_sent(
    private: FileServer, public: FileServer, folder: Path, dns: dict[str, list[str]]
) -> None:
    dns["rebound.example"] = ["127.0.0.2", "127.0.0.1"]
    url = private.url(f"/{NAME}").replace("127.0.0.1", "rebound.example")
    with pytest.raises(SourceError, match=r"leads to 127\.0\.0\.1, a private address"):
        download(url, folder, retry=FAST, allow_private=False)
    assert private.seen == []


@pytest.mark.parametrize("allow_private", [True, False])
def test_a_redirect_from_a_public_address_to_a_private_one_is_never_followed(
    private: FileServer, public: FileServer, folder: Path, allow_private: bool
) -> None:
    public.always("/moved.csv.gz", Fault(redirect=f"/again/{NAME}"))
    public.always(f"/again/{NAME}", Fault(redirect=private.url(f"/{NAME}")))
    with pytest.raises(SourceError, match=r"redirects from a public address to the private one 127\.0\.0\.1"):
        download(public.url("/moved.csv.gz"), folder, retry=FAST, allow_private=allow_private)
    assert private.seen == []
    assert names(folder) == []


def test_redirects_between_private_addresses_and_to_public_ones_are_followed_if_allowed(
    private: FileServer, public: FileServer, folder: Path
) -> None:
    private.always("/a.csv.gz", Fault(redirect=f"/{NAME}"))
    private.always("/b.csv.gz", Fault(redirect=public.url(f"/{NAME}")))
    for path in ("/a.csv.gz", "/b.csv.gz"):
        raw = download(private.url(path), folder, retry=FAST, allow_private=True)
        assert raw.path is not None
        assert raw.path.read_bytes() == DATA


@pytest.mark.parametrize("allow_private", [True, False])
@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "0.0.0.0"])
def test_what_clouds_tell_their_machines_is_never_asked(folder: Path, host: str, allow_private: bool) -> None:
    with pytest.raises(SourceError, match="an address that no file is published at"):
        download(f"http://{host}/latest/{NAME}", folder, retry=FAST, allow_private=allow_private)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://elsewhere.example/x.csv", "gopher://x/"])
def test_a_redirect_leads_to_http_only(private: FileServer, folder: Path, target: str) -> None:
    private.always(f"/{NAME}", Fault(redirect=target))
    with pytest.raises(SourceError, match="the address it redirects to cannot be requested"):
        download(private.url(f"/{NAME}"), folder, retry=FAST)
    assert names(folder) == []


@pytest.mark.parametrize("target", ["http://elsewhere.example/x", "HTTP://source.example/x"])
def test_a_redirect_does_not_lead_from_https_to_http(target: str) -> None:
    answer = requests.Response()
    answer.status_code, answer.url, answer.headers["Location"] = 302, "https://source.example/x", target
    with pytest.raises(BlockedRequestError, match="redirects from https to http"):
        GuardedSession(allow_private=True).get_redirect_target(answer)
    for good in ("https://elsewhere.example/x", "/y", "//elsewhere.example/x"):
        answer.headers["Location"] = good
        assert GuardedSession(allow_private=True).get_redirect_target(answer) == good


def test_a_proxy_may_be_private_but_an_address_in_the_url_may_not(
    private: FileServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", private.url(""))
    with pytest.raises(SourceError, match=r"leads to 10\.0\.0\.1, a private address"):
        download(f"http://10.0.0.1/{NAME}", folder, retry=FAST, allow_private=False)
    assert private.seen == []
    assert_whole(download(f"http://source.example/{NAME}", folder, retry=FAST, allow_private=False), folder)
