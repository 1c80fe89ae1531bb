"""Where alerts go in tests: a webhook and a mail server on 127.0.0.1 that keep what they get, and fail as told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from taxi_assets.local.ports import free_port


class Webhook(ThreadingHTTPServer):
    """Takes Slack's messages; answers with the statuses planned, then with 200."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _WebhookHandler)
        self.texts: list[str] = []
        self.statuses: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/services/s3cret"


class _WebhookHandler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 200:
            self.server.texts.append(body["text"])
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class MailServer:
    """Takes e-mail from who logs in as `user` with `s3cret`; refuses the next `refusals` messages."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.recipients: list[list[str]] = []
        self.refusals = 0
        self.controller = Controller(
            self, "127.0.0.1", free_port(), authenticator=self._login, auth_required=True, auth_require_tls=False
        )

    @property
    def url(self) -> str:
        return f"smtp://user:s3cret@127.0.0.1:{self.controller.port}?from=taxi@example.org"

    @staticmethod
    def _login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        # Not handled: the server is to answer a wrong password itself.
        return AuthResult(success=(data.login, data.password) == (b"user", b"s3cret"), handled=False)

    # aiosmtpd calls its hooks by the SMTP command.
    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.refusals:
            self.refusals -= 1
            return "451 come back later"
        self.messages.append(message_from_bytes(envelope.content))
        self.recipients.append(envelope.rcpt_tos)
        return "250 OK"


@contextmanager
def webhook() -> Iterator[Webhook]:
    """Run a webhook."""
    server = Webhook()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Run a mail server."""
    server = MailServer()
    server.controller.start()
    try:
        yield server
    finally:
        server.controller.stop(no_assert=True)
