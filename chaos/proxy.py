"""A TCP proxy on loopback that stands before an emulator and cuts, delays, loses or refuses what passes."""

import contextlib
import json
import socket
import struct
import threading
import time
from dataclasses import dataclass

from taxi_assets.local.ports import LOOPBACK

CHUNK = 1 << 16
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Disturbance:
    """What happens to one connection.

    `status` and `reason` are a Google error in place of a response. `cut_request` and `cut_response` reset the
    connection after that many bytes; `cut_response=0` loses a response whose work is done. `delay` is in seconds.
    """

    status: int | None = None
    reason: str = "backendError"
    cut_request: int | None = None
    cut_response: int | None = None
    delay: float = 0.0


class Proxy:
    """Forward connections to a port of this machine; `disturb` plans what happens to the next ones."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._planned: list[Disturbance] = []
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server((LOOPBACK, 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def disturb(self, *planned: Disturbance) -> None:
        """Reset the open connections, and disturb the next ones in this order."""
        with self._lock:
            self._planned = list(planned)
            opened = list(self._open)
        for connection in opened:
            _reset(connection)

    def calm(self) -> None:
        """Forget what is planned."""
        with self._lock:
            self._planned.clear()

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            planned = self._planned.pop(0) if self._planned else Disturbance()
            self._open.add(client)
        try:
            time.sleep(planned.delay)
            if planned.status is not None:
                _refuse(client, planned)
                return
            with socket.create_connection((LOOPBACK, self._target)) as server:
                forward = threading.Thread(
                    target=_relay, args=(client, server, planned.cut_request, client), daemon=True
                )
                forward.start()
                _relay(server, client, planned.cut_response, client)
                forward.join()
        except OSError:
            _reset(client)
        finally:
            with self._lock:
                self._open.discard(client)
            client.close()


def _relay(source: socket.socket, target: socket.socket, limit: int | None, client: socket.socket) -> None:
    """Copy until either side ends, or reset the client after `limit` bytes."""
    passed = 0
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            if limit is not None and passed + len(data) > limit:
                target.sendall(data[: limit - passed])
                _reset(client)
                return
            target.sendall(data)
            passed += len(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _refuse(client: socket.socket, planned: Disturbance) -> None:
    client.settimeout(5)
    head = b""
    while b"\r\n\r\n" not in head and (data := client.recv(CHUNK)):
        head += data
    error = {"reason": planned.reason, "message": f"disturbed: {planned.reason}"}
    body = json.dumps({"error": {"code": planned.status, "message": error["message"], "errors": [error]}}).encode()
    headers = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    client.sendall(f"HTTP/1.1 {planned.status} Disturbed\r\n{headers}".encode() + body)
    client.shutdown(socket.SHUT_WR)
    # Closed with unread data, the kernel would reset the connection and the response would be lost.
    with contextlib.suppress(OSError):
        while client.recv(CHUNK):
            pass


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.shutdown(socket.SHUT_RDWR)
