"""TCP ports of the loopback address: whether one is free, and finding one that is."""

import contextlib
import secrets
import socket
from collections.abc import Mapping

from taxi_assets.errors import ServiceError

LOOPBACK = "127.0.0.1"
# Below the ports that Linux and macOS give to outgoing connections: one of those took a port before its service did.
CHOSEN_PORTS = range(10_000, 32_768)


def free_port() -> int:
    """Return a port that nothing listened on a moment ago; it is not reserved."""
    while not is_free(port := secrets.choice(CHOSEN_PORTS)):
        pass
    return port


def is_free(port: int) -> bool:
    """Return whether a service could listen on this port of the loopback address."""
    # Two questions, since neither suffices everywhere: macOS lets a bind to 127.0.0.1 succeed beside a
    # listener on all addresses, and a connect finds no socket that is bound but does not listen yet.
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex((LOOPBACK, port)) == 0:
            return False
    with socket.socket() as probe:
        # Without this a port whose last connections are in TIME_WAIT looks taken for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return True
    return False


def refuse_taken(ports: Mapping[str, int]) -> None:
    """Check ports before anything starts; `ports` maps the variable that sets one to its number.

    Raises:
        ServiceError: A port is in use, is not ours to listen on, or is named twice.
    """
    seen: dict[int, str] = {}
    for variable, port in ports.items():
        if port in seen:
            raise ServiceError(f"{seen[port]} and {variable} are both {port}; set one of them to another port.")
        seen[port] = variable
        if not is_free(port):
            raise ServiceError(f"Port {port} is in use; set {variable} to another one.")
