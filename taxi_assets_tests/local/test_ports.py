"""Ports of the loopback address."""

import socket
from pathlib import Path

import pytest

from taxi_assets.local import ports
from taxi_assets.local.ports import CHOSEN_PORTS, LOOPBACK, free_port, is_free

LINUX_FIRST = 32_768


def test_no_outgoing_connection_is_given_a_chosen_port() -> None:
    given = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if not given.exists():
        pytest.skip("only Linux tells which ports outgoing connections are given")
    first = int(given.read_text().split()[0])
    if first < LINUX_FIRST:
        pytest.skip(f"this machine gives outgoing connections ports from {first} on, which Linux by itself does not")
    assert not {LINUX_FIRST, first} & set(CHOSEN_PORTS)


def test_a_port_is_free_and_one_that_is_listened_on_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, port := free_port()))
        listener.listen()
        assert not is_free(port)
        choices = iter([port, port, other := free_port()])
        monkeypatch.setattr(ports.secrets, "choice", lambda _: next(choices))
        assert free_port() == other
    assert is_free(port)
