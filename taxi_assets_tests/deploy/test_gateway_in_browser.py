"""The UI through the gateway, in a real browser: it logs in, shows what there is, and lets the viewer only look."""

import pytest
from playwright.sync_api import Browser, Error, Page, WebSocket, expect

from taxi_assets.local.ports import LOOPBACK
from taxi_assets_tests.support.compose_file import PASSWORDS
from taxi_assets_tests.support.deployment import Deployment
from taxi_assets_tests.support.waiting import HANG_SECONDS, wait_for


def opened(browser: Browser, gateway: Deployment, user: str | None) -> Page:
    """Open a page of somebody who enters that user's name and password when asked."""
    login = {"username": user, "password": PASSWORDS[user]} if user else None
    context = browser.new_context(base_url=f"http://{LOOPBACK}:{gateway.ports['gateway']}", http_credentials=login)
    page = context.new_page()
    page.set_default_timeout(HANG_SECONDS * 1000)
    return page


def test_without_a_password_there_is_nothing_to_see(browser: Browser, gateway: Deployment) -> None:
    page = opened(browser, gateway, None)
    # What a browser says of a 401 when nobody answers its question for a password.
    with pytest.raises(Error, match="ERR_INVALID_AUTH_CREDENTIALS"):
        page.goto("/runs")


def test_the_operator_may_launch_and_hears_of_news_through_the_websocket(browser: Browser, gateway: Deployment) -> None:
    page = opened(browser, gateway, "operator")
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    heard: list[str | bytes] = []

    # As soon as it is opened: its first frames come before the page has loaded.
    def listen(socket: WebSocket) -> None:
        if socket.url.endswith("/graphql"):
            socket.on("framereceived", lambda frame: heard.append(frame))

    page.on("websocket", listen)
    page.goto("/locations/taxi_assets.definitions/jobs/green_month_job")

    def has_heard() -> bool:
        page.wait_for_timeout(50)  # Playwright hears only while it is asked something
        return bool(heard)

    wait_for(has_heard, "a word through the websocket")
    expect(page.get_by_role("button", name="Materialize all")).to_be_enabled()
    assert not any("Content Security Policy" in text or "403" in text for text in complaints), complaints


def test_the_viewer_sees_the_same_and_cannot_launch(browser: Browser, gateway: Deployment) -> None:
    page = opened(browser, gateway, "viewer")
    page.goto("/locations/taxi_assets.definitions/jobs/green_month_job")
    expect(page.get_by_text("green_month_job").first).to_be_visible()
    expect(page.get_by_role("button", name="Materialize all")).to_be_disabled()
