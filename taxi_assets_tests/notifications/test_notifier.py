"""Alerts sent to a real webhook and a real mail server on this machine; what fails is said without a secret."""

from collections.abc import Iterator

import pytest

from taxi_assets.errors import ServiceUnavailableError, SettingsError
from taxi_assets.mail_settings import SmtpServer, addresses
from taxi_assets.notifications.notifier import Alert, Notifier, slack_message
from taxi_assets_tests.support.receivers import MailServer, Webhook, mail_server, webhook

ALERT = Alert("green 2024-03 failed", "green/raw_file: <html> & no file", "http://127.0.0.1:3000/runs/1")


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as running:
        yield running


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


def test_a_webhook_gets_a_message_in_slacks_format(hook: Webhook):
    Notifier(webhook=hook.url).send("webhook", ALERT)
    assert hook.texts == [
        "*green 2024-03 failed*\ngreen/raw_file: &lt;html&gt; &amp; no file\n"
        "<http://127.0.0.1:3000/runs/1|Open it in Dagster>"
    ]


def test_an_email_gets_to_everybody(mail: MailServer):
    Notifier(smtp_url=mail.url, email="a@example.org, b@example.org").send("email", ALERT)
    [message] = mail.messages
    assert message["Subject"] == "green 2024-03 failed"
    assert (message["From"], message["To"]) == ("taxi@example.org", "a@example.org, b@example.org")
    assert mail.recipients == [["a@example.org", "b@example.org"]]
    assert message.get_payload().split() == f"{ALERT.text} {ALERT.link}".split()


def test_a_title_of_several_lines_cannot_add_a_header(mail: MailServer):
    Notifier(smtp_url=mail.url, email="a@example.org").send("email", Alert("one\r\nBcc: evil@example.org", "text"))
    assert mail.messages[0]["Subject"] == "one Bcc: evil@example.org"
    assert mail.recipients == [["a@example.org"]]


def test_where_an_alert_goes_is_what_is_set():
    assert Notifier().channels == []
    assert Notifier(webhook="http://h", smtp_url="smtp://h").channels == ["webhook"]
    assert Notifier(smtp_url="smtp://h", email="a@b").channels == ["email"]


def test_a_password_is_not_shown_by_what_is_wrong_beside_it():
    with pytest.raises(SettingsError) as caught:
        SmtpServer.parse("smtp://user:s3cret@host:port")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


def failure(notifier: Notifier, channel: str) -> str:
    with pytest.raises(ServiceUnavailableError) as caught:
        notifier.send(channel, ALERT)  # type: ignore[arg-type]
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    text = f"{caught.value} {notifier!r}"
    assert "s3cret" not in text
    assert "user" not in text
    return str(caught.value)


def test_a_webhook_that_refuses_is_said_without_its_address(hook: Webhook):
    hook.statuses = [500, 302]
    notifier = Notifier(webhook=hook.url)
    assert failure(notifier, "webhook") == "The webhook answered HTTP 500 where 200 was expected."
    assert failure(notifier, "webhook") == "The webhook answered HTTP 302 where 200 was expected."


def test_a_webhook_that_is_not_there_is_said_without_its_address(hook: Webhook):
    url = hook.url.replace(str(hook.server_address[1]), "1")
    assert failure(Notifier(webhook=url), "webhook") == "The webhook did not answer (ConnectionError)."


def test_a_mail_server_that_refuses_is_said_without_its_address(mail: MailServer):
    mail.refusals = 1
    assert failure(Notifier(smtp_url=mail.url, email="a@b"), "email") == "The mail server answered 451 to the message."
    wrong = mail.url.replace("user:s3cret", "user:s3cret2")
    assert "535" in failure(Notifier(smtp_url=wrong, email="a@b"), "email")
    closed = Notifier(smtp_url="smtp://user:s3cret@127.0.0.1:1", email="a@b")
    assert "did not take the message (ConnectionRefusedError)" in failure(closed, "email")


def test_a_password_does_not_travel_in_the_clear(mail: MailServer, monkeypatch: pytest.MonkeyPatch):
    """To another machine than this one; the name stands for one here."""
    monkeypatch.setattr("taxi_assets.notifications.smtp._LOOPBACK", ())
    assert "SMTPNotSupportedError" in failure(Notifier(smtp_url=mail.url, email="a@b"), "email")
    assert mail.messages == []


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "sender"),
    [
        ("smtp://me%40example.org:p%40ss@mail.example.org", "mail.example.org", 587, False, "me@example.org"),
        ("smtps://mail.example.org", "mail.example.org", 465, True, "taxi-assets@mail.example.org"),
        ("smtp://key:p@mail:2525?from=x@example.org", "mail", 2525, False, "x@example.org"),
    ],
)
def test_the_address_of_a_mail_server(url: str, host: str, port: int, tls: bool, sender: str):
    server = SmtpServer.parse(url)
    assert (server.host, server.port, server.tls, server.sender) == (host, port, tls, sender)
    assert "p@ss" not in repr(server)


@pytest.mark.parametrize("url", ["", "mail.example.org", "http://mail", "smtp://", "smtp://h:port", "smtp://h?from=x"])
def test_what_is_no_address_of_a_mail_server_is_refused(url: str):
    with pytest.raises(SettingsError, match="TAXI_ALERT_SMTP_URL"):
        SmtpServer.parse(url)


@pytest.mark.parametrize("text", ["", " , ", "nobody", "a@b,c", "a@b c@d", "<a@b>"])
def test_what_is_no_list_of_addresses_is_refused(text: str):
    with pytest.raises(SettingsError, match="TAXI_ALERT_EMAIL"):
        addresses(text)


def test_slack_gets_no_link_where_there_is_none():
    assert slack_message(Alert("title", "text")) == {"text": "*title*\ntext"}
