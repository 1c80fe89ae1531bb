"""An upload over a connection that breaks: what has arrived is not sent again."""

import os
import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from taxi_assets.resources.lake import crc32c_of
from taxi_assets_tests.conftest import World, changed

SIZE = 24 << 20
RESET_AFTER = 14 << 20


class ResettingProxy:
    """Forward connections to a server and reset the one that carries a given byte, once."""

    def __init__(self, target: tuple[str, int], reset_after: int) -> None:
        self._target = target
        self._reset_after = reset_after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.sent = 0
        self.resets = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @contextmanager
    def running(self) -> Iterator["ResettingProxy"]:
        threading.Thread(target=self._accept, daemon=True).start()
        try:
            yield self
        finally:
            self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        """Copy both ways in one thread: a reset needs sockets that nobody else is reading."""
        with client, socket.create_connection(self._target) as server, suppress(OSError):
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
                    if ready is client and self._is_last(len(data)):
                        for side in (client, server):
                            side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return
                    (server if ready is client else client).sendall(data)

    def _is_last(self, size: int) -> bool:
        self.sent += size
        if self.resets or self.sent <= self._reset_after:
            return False
        self.resets += 1
        return True


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "month.parquet"
    path.write_bytes(os.urandom(SIZE))
    return path


def test_a_reset_costs_at_most_one_chunk(world: World, file: Path):
    address = urlsplit(world.lake.emulator_host or "")
    target = (address.hostname or "", address.port or 0)
    with ResettingProxy(target, RESET_AFTER).running() as proxy:
        lake = changed(world.lake, emulator_host=proxy.url)
        item = lake.put(file, "raw/green/month.parquet", {"a": "b"})
    assert proxy.resets == 1
    assert (item.bytes, item.crc32c) == (SIZE, crc32c_of(file))
    # Some kilobytes are headers.
    assert proxy.sent < SIZE + (5 << 20)
    assert world.lake.fetch("raw/green/month.parquet").read_bytes() == file.read_bytes()


def test_the_requester_pays_with_every_request(world: World, file: Path, monkeypatch: pytest.MonkeyPatch):
    """The emulator bills nobody, so the requests themselves are looked at."""
    lake = changed(world.lake, billed_project="payer-project")
    addresses: list[str] = []
    session = lake.get_client()._http
    original = type(session).request

    def request(self: object, method: str, url: str, *arguments: object, **keywords: object) -> object:
        addresses.append(url)
        return original(self, method, url, *arguments, **keywords)

    monkeypatch.setattr(type(session), "request", request)
    lake.put(file, "pending/x", {"a": "b"})
    lake.promote("pending/x", "clean/x")
    lake.fetch("clean/x")
    lake.remove(next(lake.list("clean/x")))
    # An upload's later requests go to the address that its first one returned.
    first = [url for url in addresses if "/o" in url and "upload_id" not in url]
    assert len(first) > 6
    assert [url for url in first if "userProject=payer-project" not in url] == []
