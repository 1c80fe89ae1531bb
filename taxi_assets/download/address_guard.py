"""Restrict the addresses that a source may lead to.

A name can resolve to any address, and to another one the next time. A redirect can lead anywhere. So every hop is
checked twice: all addresses from DNS before the connection is made, and the peer's address before a byte is sent.
"""

import ipaddress
import socket
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

AddressClass = Literal["public", "private", "forbidden"]
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")
# Metadata services of clouds, which hand out credentials, where their address is not link-local.
_METADATA = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "fd00:ec2::254")))


class BlockedRequestError(Exception):
    """An address or a redirect that is not followed. The text continues a sentence that begins with the URL."""


def classify(address: str) -> AddressClass:
    """Return the class of an IP address.

    `private` is this machine or a private network. `forbidden` is an address that no file is served from, such as
    a cloud's metadata service. An IPv4 address inside an IPv6 address is classified by itself.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        embedded = _embedded_ipv4(found)
        if embedded is not None:
            return classify(str(embedded))
    forbidden = found.is_link_local or found.is_multicast or found.is_unspecified or found in _METADATA
    # IPv6's loopback lies in a reserved block.
    if forbidden or (found.is_reserved and not found.is_loopback):
        return "forbidden"
    site_local = isinstance(found, ipaddress.IPv6Address) and found.is_site_local
    return "public" if found.is_global and not site_local else "private"


def _embedded_ipv4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


class AddressGuard:
    """Checks the hops of one request after another."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._came_from_public = False

    def reset(self) -> None:
        """Forget the hops of the previous request."""
        self._came_from_public = False

    def check(self, address: str) -> AddressClass:
        """Return the class of an address if the request may go there.

        Raises:
            BlockedRequestError: The address is forbidden, or private and not allowed.
        """
        found = classify(address)
        if found == "forbidden":
            raise BlockedRequestError(
                f"leads to {address}, an address that no file is published at; check TAXI_SOURCE."
            )
        if found == "private" and self._came_from_public:
            raise BlockedRequestError(
                f"redirects from a public address to the private one {address}, which is never followed; if that is "
                "the place that you mean, name it in TAXI_SOURCE."
            )
        if found == "private" and not self._allow_private:
            raise BlockedRequestError(
                f"leads to {address}, a private address; if a mirror inside your network is meant, set "
                "TAXI_SOURCE_ALLOW_PRIVATE=1."
            )
        return found

    def check_peer(self, address: str) -> None:
        """Check the peer of a connection before it is used, and record whether the request left private networks.

        Raises:
            BlockedRequestError: As `check`.
        """
        if self.check(address) == "public":
            self._came_from_public = True


class GuardedSession(requests.Session):
    """A session that checks every hop and never follows a redirect from https to http."""

    def __init__(self, allow_private: bool) -> None:
        super().__init__()
        self._guard = AddressGuard(allow_private)
        adapter = _GuardedAdapter(self._guard)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request as requests does, with its own record of hops.

        Raises:
            BlockedRequestError: An address or a redirect is not allowed.
        """
        self._guard.reset()
        return super().request(*args, **kwargs)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return the redirect's target, as requests does; called at each hop.

        Raises:
            BlockedRequestError: The redirect leads from https to http.
        """
        target = super().get_redirect_target(resp)
        if target and urlsplit(resp.url).scheme == "https" and urlsplit(urljoin(resp.url, target)).scheme == "http":
            raise BlockedRequestError(
                "redirects from https to http, which anybody on the way could change; check TAXI_SOURCE."
            )
        return target


class _GuardedAdapter(HTTPAdapter):
    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        # A proxy has a pool manager of its own: its address comes from the machine's settings.
        self.poolmanager.pool_classes_by_scheme = _pool_classes(self._guard)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        proxies: Mapping[str, str] | None = kwargs.get("proxies")
        if request.url and select_proxy(request.url, proxies):
            # The proxy resolves names, so only an address that stands in the URL can be checked.
            host = (urlsplit(request.url).hostname or "").strip("[]")
            try:
                ipaddress.ip_address(host.partition("%")[0])
            except ValueError:
                pass
            else:
                self._guard.check_peer(host)
        return super().send(request, *args, **kwargs)


def _pool_classes(guard: AddressGuard) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(_GuardedConnection, HTTPConnection):
        pass

    class Encrypted(_GuardedConnection, HTTPSConnection):
        pass

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    Plain.guard = Encrypted.guard = guard
    return {"http": PlainPool, "https": EncryptedPool}


class _GuardedConnection(HTTPConnection):
    """A connection that is checked before it is made and each time before it is used."""

    guard: AddressGuard

    def _new_conn(self) -> socket.socket:
        try:
            found = socket.getaddrinfo(self.host.strip("[]"), self.port, type=socket.SOCK_STREAM)
        except OSError:
            # The call below fails in the same way, and urllib3 converts that error.
            found = []
        for *_, address in found:
            self.guard.check(str(address[0]))
        return super()._new_conn()

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()
        # DNS may have returned another address for the connection than for the check.
        self.guard.check_peer(str(self.sock.getpeername()[0]))
        super().request(*args, **kwargs)
