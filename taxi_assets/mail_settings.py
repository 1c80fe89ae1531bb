"""What TAXI_ALERT_SMTP_URL and TAXI_ALERT_EMAIL hold: a mail server and the recipients of alerts."""

from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from taxi_assets.errors import SettingsError


@dataclass(frozen=True)
class SmtpServer:
    """A mail server as TAXI_ALERT_SMTP_URL names it; `sender` is its `?from=`, or the user."""

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
            SettingsError: The URL is of another kind.
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


def addresses(text: str) -> list[str]:
    """Return the comma-separated addresses of TAXI_ALERT_EMAIL.

    Raises:
        SettingsError: There is none, or one is no address.
    """
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found or not all(map(_is_address, found)):
        raise SettingsError("TAXI_ALERT_EMAIL is no list of addresses; write it as a@example.org,b@example.org.")
    return found


def _is_address(text: str) -> bool:
    name, at, domain = text.rpartition("@")
    return bool(name and at and domain) and not any(character.isspace() or character in "<>,;" for character in text)
