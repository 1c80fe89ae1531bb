"""E-mail: log in to the mail server, and compose a message of plain text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from taxi_assets.mail_settings import SmtpServer

if TYPE_CHECKING:
    # Imported where something is sent: every command and every run loads this module.
    import smtplib
    from email.message import EmailMessage

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def connect(server: SmtpServer, timeout: float) -> "smtplib.SMTP":
    """Connect and log in. A password goes over an encrypted connection or to this machine only."""
    import smtplib
    import ssl

    context = ssl.create_default_context()
    if server.tls:
        connection: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=timeout, context=context)
    else:
        connection = smtplib.SMTP(server.host, server.port, timeout=timeout)
    try:
        connection.ehlo()
        if not server.tls and connection.has_extn("starttls"):
            connection.starttls(context=context)
            connection.ehlo()
        elif not server.tls and server.user and server.host not in _LOOPBACK:
            raise smtplib.SMTPNotSupportedError("no STARTTLS")
        if server.user:
            connection.login(server.user, server.password or "")
    except BaseException:
        connection.close()
        raise
    return connection


def mail_message(title: str, parts: Sequence[str | None], sender: str, recipients: list[str]) -> "EmailMessage":
    """Return an e-mail of plain text, a paragraph for each part that there is."""
    from email.message import EmailMessage
    from email.utils import formatdate, make_msgid

    message = EmailMessage()
    # A header is one line.
    message["Subject"] = " ".join(title.split())
    message["From"], message["To"] = sender, ", ".join(recipients)
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=sender.rpartition("@")[2])
    message.set_content("\n\n".join(filter(None, parts)) + "\n")
    return message
