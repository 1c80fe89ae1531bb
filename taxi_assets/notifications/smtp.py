"""E-mail: the server as an address names it, how it is logged in to, and a message of plain text."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from taxi_assets.errors import SettingsError

if TYPE_CHECKING:
    # Imported where something is sent: every command and every run loads this module.
    import smtplib
    from email.message import EmailMessage

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class SmtpServer:
    """A mail server as TAXI_ALERT_SMTP_URL names it; `sender` is what its `?from=` says, or the user."""

    host: str
    port: int
    user: str | None
    password: str | None = field(repr=False)
    tls: bool
    sender: str

    @classmethod
    def parse(cls, url: str) -> "SmtpServer":
        """Read `smtp://user:password@host:587?from=alerts@example.org` (STARTTLS) or `smtps://...` (TLS).

        Raises:
            SettingsError: the URL is of another kind.
        """
        expected = "write it as smtp://user:password@host:587 or smtps://user:password@host:465"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise SettingsError(f"TAXI_ALERT_SMTP_URL cannot be read; {expected}.") from None
        if parts.scheme not in ("smtp", "smtps") or not host:
            raise SettingsError(f"TAXI_ALERT_SMTP_URL is no address of a mail server; {expected}.")
        tls = parts.scheme == "smtps"
        user = unquote(parts.username) if parts.username else None
        sender = parse_qs(parts.query).get("from", [user if user and "@" in user else f"taxi-assets@{host}"])[0]
        if not _is_address(sender):
            raise SettingsError(
                f"TAXI_ALERT_SMTP_URL has a sender that is no address; {expected}?from=you@example.org."
            )
        return cls(
            host=host,
            port=port or (465 if tls else 587),
            user=user,
            password=unquote(parts.password) if parts.password else None,
            tls=tls,
            sender=sender,
        )

    def connect(self, timeout: float) -> "smtplib.SMTP":
        """A connection that is logged in; a password goes over an encrypted connection or to this machine only."""
        import smtplib
        import ssl

        context = ssl.create_default_context()
        if self.tls:
            connection: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=timeout, context=context)
        else:
            connection = smtplib.SMTP(self.host, self.port, timeout=timeout)
        try:
            connection.ehlo()
            if not self.tls and connection.has_extn("starttls"):
                connection.starttls(context=context)
                connection.ehlo()
            elif not self.tls and self.user and self.host not in _LOOPBACK:
                raise smtplib.SMTPNotSupportedError("no STARTTLS")
            if self.user:
                connection.login(self.user, self.password or "")
        except BaseException:
            connection.close()
            raise
        return connection


def addresses(text: str) -> list[str]:
    """The comma-separated addresses of TAXI_ALERT_EMAIL.

    Raises:
        SettingsError: there is none, or one is no address.
    """
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found or not all(map(_is_address, found)):
        raise SettingsError("TAXI_ALERT_EMAIL is no list of addresses; write it as a@example.org,b@example.org.")
    return found


def mail_message(title: str, parts: Sequence[str | None], sender: str, recipients: list[str]) -> "EmailMessage":
    """An e-mail of plain text, a paragraph for each part that there is."""
    from email.message import EmailMessage
    from email.utils import formatdate, make_msgid

    message = EmailMessage()
    # A header is one line.
    message["Subject"] = " ".join(title.split())
    message["From"], message["To"] = sender, ", ".join(recipients)
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=sender.rpartition("@")[2])
    message.set_content("\n\n".join(filter(None, parts)) + "\n")
    return message


def _is_address(text: str) -> bool:
    name, at, domain = text.rpartition("@")
    return bool(name and at and domain) and not any(character.isspace() or character in "<>,;" for character in text)
