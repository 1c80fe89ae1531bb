"""Alerts are sent once on each channel, tried again later and later, and given up at last."""

from hypothesis import given
from hypothesis import strategies as st

from taxi_assets.defs.alerts.outbox import MAX_ATTEMPTS, AlertState, PendingAlert, deliver
from taxi_assets.errors import ServiceUnavailableError
from taxi_assets.notifications.notifier import Alert, Channel

ALERT = Alert("green 2024-03 failed", "why")
CHANNELS: st.SearchStrategy[tuple[Channel, ...]] = st.sampled_from([("webhook",), ("email",), ("webhook", "email")])
PENDING = st.builds(
    PendingAlert,
    alert=st.builds(Alert, title=st.text(), text=st.text(), link=st.none() | st.text()),
    channels=CHANNELS,
    attempts=st.integers(0, MAX_ATTEMPTS - 1),
    not_before=st.floats(0, 4e9),
)
STATES = st.builds(
    AlertState,
    after=st.integers(0),
    waiting=st.dictionaries(st.uuids().map(str), st.floats(0, 4e9)),
    reported=st.frozensets(st.text()),
    outbox=st.lists(PENDING, max_size=5).map(tuple),
)


class Post:
    """Channels that fail the planned number of times."""

    def __init__(self, **failures: int) -> None:
        self.failures = failures
        self.sent: list[str] = []
        self.logged: list[str] = []

    def send(self, channel: Channel, alert: Alert) -> None:
        if self.failures.get(channel, 0):
            self.failures[channel] -= 1
            raise ServiceUnavailableError(f"The {channel} is away.")
        self.sent.append(channel)

    def ticks(
        self, outbox: tuple[PendingAlert, ...], seconds: float, until: float
    ) -> tuple[tuple[PendingAlert, ...], float]:
        now = 0.0
        while outbox and now < until:
            outbox = deliver(outbox, self.send, now, lambda: True, self.logged.append)
            now += seconds
        return outbox, now


def test_a_channel_that_took_it_gets_it_once_while_the_other_is_tried_again():
    post = Post(email=3)
    left, _ = post.ticks((PendingAlert(ALERT, ("webhook", "email")),), 30, 7200)
    assert not left
    assert post.sent == ["webhook", "email"]
    assert len(post.logged) == 3
    assert "'green 2024-03 failed' by email will be tried again after attempt 1: The email is away." in post.logged[0]


def test_it_is_given_up_after_a_bounded_number_of_attempts():
    post = Post(webhook=10**6)
    left, seconds = post.ticks((PendingAlert(ALERT, ("webhook",)),), 30, 10 * 3600)
    assert not left
    assert not post.sent
    assert len(post.logged) == MAX_ATTEMPTS
    assert "is given up" in post.logged[-1]
    assert 3600 < seconds < 3 * 3600


def test_what_there_is_no_time_for_stays():
    post, pending = Post(), (PendingAlert(ALERT, ("webhook",)),) * 2
    assert deliver(pending, post.send, 0, lambda: not post.sent, post.logged.append) == pending[:1]


@given(STATES)
def test_a_cursor_is_read_as_it_was_written(state: AlertState):
    assert AlertState.from_json(state.to_json()) == state


@given(st.none() | st.text() | st.sampled_from(["{}", '{"version": 1}', "[1]", "3"]))
def test_any_text_is_a_cursor_or_none(text: str | None):
    assert AlertState.from_json(text) is None
