"""A real HTTP server on loopback for tests: serves a folder as object stores do, and fails as told.

    with serve(folder) as server:
        server.plan("/a.csv", Fault(status=503, retry_after="1"), Fault(cut_after=100))  # then well
        requests.get(server.url("/a.csv"))

Each planned fault answers one request, in order; `server.always` answers all that no plan covers.
"""

import email.utils
import hashlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

MAX_HANG_SECONDS = 20.0


@dataclass(frozen=True)
class Fault:
    """How one answer differs from a good one."""

    status: int | None = None
    retry_after: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    redirect: str | None = None
    cut_after: int | None = None
    hang_before: bool = False
    hang_after: int | None = None
    content_length: int | None = None
    no_length: bool = False
    chunked: bool = False
    no_etag: bool = False
    no_last_modified: bool = False
    ignore_range: bool = False
    ignore_conditions: bool = False
    wrong_range: bool = False


@dataclass(frozen=True)
class Seen:
    """One request as it came, and the status it was answered with."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    status: int


class FileServer(ThreadingHTTPServer):
    """See the module; `seen` holds all requests in order, `release` ends every hang."""

    daemon_threads = True

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), _Handler)
        self.folder = folder
        self.seen: list[Seen] = []
        self.release = threading.Event()
        self.hanging = threading.Event()
        self._plans: dict[str, list[Fault]] = defaultdict(list)
        self._always: dict[str, Fault] = {}
        self._lock = threading.Lock()

    def url(self, path: str, userinfo: str = "") -> str:
        return f"http://{userinfo + '@' if userinfo else ''}{self.server_address[0]}:{self.server_address[1]}{path}"

    def put(self, name: str, data: bytes) -> str:
        """Publish a file, with a date an hour ago as published files are old; its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        moment = time.time() - 3600
        os.utime(path, (moment, moment))
        return f"/{name}"

    def plan(self, path: str, *faults: Fault) -> None:
        self._plans[path].extend(faults)

    def forget(self, path: str) -> None:
        """Forget what is planned for the path."""
        with self._lock:
            self._plans[path].clear()

    def always(self, path: str, fault: Fault) -> None:
        self._always[path] = fault

    def requests_of(self, path: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.path == path]

    def next_fault(self, path: str) -> Fault:
        with self._lock:
            plan = self._plans[path]
            return plan.pop(0) if plan else self._always.get(path, Fault())

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that break off are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, with_body: bool) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        fault = self.server.next_fault(path)
        status, headers, body = self._content(path, fault)
        self.server.seen.append(Seen(self.command, path, parts.query, dict(self.headers), status))
        if fault.hang_before:
            self._hang()
        self.send_response(status)
        for name, value in {**headers, **fault.headers}.items():
            self.send_header(name, value)
        if fault.retry_after:
            self.send_header("Retry-After", fault.retry_after)
        if status == 304:
            body = b""
        elif fault.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif fault.no_length:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(fault.content_length or len(body)))
        self.end_headers()
        if with_body:
            self._send(body, fault)

    def _content(self, path: str, fault: Fault) -> tuple[int, dict[str, str], bytes]:
        if fault.redirect:
            return fault.status or 302, {"Location": fault.redirect}, b""
        if fault.status and fault.status != 200:
            return fault.status, {"Content-Type": "text/html"}, fault.body or b"<html>an error page</html>"
        file = self.server.folder / path.lstrip("/")
        if fault.body is None and not file.is_file():
            return 404, {}, b"<html>not here</html>"
        data = file.read_bytes() if fault.body is None else fault.body
        headers = {"Accept-Ranges": "bytes"}
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        modified = email.utils.formatdate(file.stat().st_mtime if file.is_file() else 0, usegmt=True)
        if not fault.no_etag:
            headers["ETag"] = etag
        if not fault.no_last_modified:
            headers["Last-Modified"] = modified
        if not fault.ignore_conditions and self._not_modified(headers):
            return 304, headers, b""
        wanted = self.headers.get("Range")
        # As servers do: If-Range must match, or the whole file comes.
        same = self.headers.get("If-Range") in (None, headers.get("ETag"), headers.get("Last-Modified"))
        if not wanted or not same or fault.ignore_range:
            return 200, headers, data
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last) + 1, len(data)) if last else len(data)
        if start >= len(data):
            return 416, {"Content-Range": f"bytes */{len(data)}"}, b""
        start += int(fault.wrong_range)
        return 206, {**headers, "Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}, data[start:end]

    def _not_modified(self, headers: Mapping[str, str]) -> bool:
        tags, since = self.headers.get("If-None-Match"), self.headers.get("If-Modified-Since")
        if tags:
            offered = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
            return headers.get("ETag", "?").removeprefix("W/") in offered
        return bool(since) and since == headers.get("Last-Modified")

    def _send(self, body: bytes, fault: Fault) -> None:
        for stop in (fault.hang_after, fault.cut_after):
            if stop is not None:
                self._write(body[:stop], fault)
                self.wfile.flush()
                if fault.hang_after is not None:
                    self._hang()
                self.close_connection = True
                return
        self._write(body, fault)
        if fault.chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _write(self, data: bytes, fault: Fault) -> None:
        if not fault.chunked:
            self.wfile.write(data)
            return
        for start in range(0, len(data), 1000):
            piece = data[start : start + 1000]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")

    def _hang(self) -> None:
        self.server.hanging.set()
        self.server.release.wait(MAX_HANG_SECONDS)


@contextmanager
def serve(folder: Path, host: str = "127.0.0.1") -> Iterator[FileServer]:
    """Serve that folder until the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    server = FileServer(folder, host)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        with suppress(OSError):
            server.shutdown()
        server.server_close()
        thread.join(5)
