"""The resource that sends alerts: by a webhook in Slack's format, and by e-mail."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import dagster as dg
from pydantic import Field

from taxi_assets.errors import ServiceUnavailableError
from taxi_assets.mail_settings import SmtpServer, addresses
from taxi_assets.notifications.smtp import connect, mail_message

Channel = Literal["webhook", "email"]


@dataclass(frozen=True)
class Alert:
    """A message to people: what happened in one line, the reasons in sentences, and a page to open."""

    title: str
    text: str
    link: str | None = None


class Notifier(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Send alerts. Addresses may hold secrets: pass them as `EnvVar`. No log line or error repeats one."""

    webhook: str | None = Field(default=None, repr=False, description="URL of an incoming webhook, as Slack's")
    smtp_url: str | None = Field(default=None, repr=False, description="smtp:// or smtps://user:password@host:port")
    email: str | None = Field(default=None, repr=False, description="addresses, comma-separated")
    timeout_seconds: float = Field(default=10.0, gt=0, description="for one message")

    @property
    def channels(self) -> list[Channel]:
        """Return the channels that are set up; empty if none is."""
        wanted: list[tuple[Channel, bool]] = [
            ("webhook", bool(self.webhook)),
            ("email", bool(self.smtp_url and self.email)),
        ]
        return [name for name, is_set in wanted if is_set]

    def send(self, channel: Channel, alert: Alert) -> None:
        """Send the alert once.

        Raises:
            ServiceUnavailableError: It was not accepted. The text gives the reason without the address.
        """
        if channel == "webhook":
            self._post(alert)
        else:
            self._mail(alert)

    def _post(self, alert: Alert) -> None:
        import requests

        try:
            answer = requests.post(
                self.webhook or "", json=slack_message(alert), timeout=self.timeout_seconds, allow_redirects=False
            )
        except requests.RequestException as error:
            # The text of the error holds the URL, and with it the key of the webhook.
            raise ServiceUnavailableError(f"The webhook did not answer ({type(error).__name__}).") from None
        if answer.status_code >= 300:
            raise ServiceUnavailableError(f"The webhook answered HTTP {answer.status_code} where 200 was expected.")

    def _mail(self, alert: Alert) -> None:
        import smtplib

        try:
            server = SmtpServer.parse(self.smtp_url or "")
            recipients = addresses(self.email or "")
            with connect(server, self.timeout_seconds) as connection:
                refused = connection.send_message(
                    mail_message(alert.title, [alert.text, alert.link], server.sender, recipients)
                )
        except smtplib.SMTPResponseException as error:
            raise ServiceUnavailableError(f"The mail server answered {error.smtp_code} to the message.") from None
        except (smtplib.SMTPException, OSError) as error:
            what = type(error).__name__
            raise ServiceUnavailableError(f"The mail server did not take the message ({what}).") from None
        if refused:
            raise ServiceUnavailableError(f"The mail server refused {len(refused)} of {len(recipients)} addresses.")


def slack_message(alert: Alert) -> Mapping[str, str]:
    """Return the alert as the body that Slack's incoming webhooks and their likes take."""
    link = f"\n<{alert.link}|Open it in Dagster>" if alert.link else ""
    return {"text": f"*{_escaped(alert.title)}*\n{_escaped(alert.text)}{link}"}


def _escaped(text: str) -> str:
    # The three characters that Slack reserves; a sentence of a failure can hold any.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
