"""Which addresses a source may have: judged by the address that a connection has, not by what its URL says.

A name can resolve to anything, another time to something else, and a redirect can lead anywhere. So each hop is
judged twice: by all answers of DNS before connecting, and by the peer of the connection before a byte is sent.
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

Kind = Literal["public", "private", "never"]
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")
# Where clouds tell a machine its secrets, as far as these are not link-local.
_METADATA = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "fd00:ec2::254")))


class Refused(Exception):
    """An address or a redirect that is not followed; the text goes on from the URL that was asked."""


def kind_of(address: str) -> Kind:
    """`public`; `private`: this machine or a network of ours; `never`: what no file is served from.

    An IPv4 address within an IPv6 one counts as itself.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inner is None and (found in _NAT64 or (found in _COMPATIBLE and int(found) > 1)):
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return kind_of(str(inner))
    never = found.is_link_local or found.is_multicast or found.is_unspecified or found in _METADATA
    # IPv6's loopback lies in a reserved block.
    if never or (found.is_reserved and not found.is_loopback):
        return "never"
    site_local = isinstance(found, ipaddress.IPv6Address) and found.is_site_local
    return "public" if found.is_global and not site_local else "private"


class Guard:
    """Judges the hops of one request after another."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._came_from_public = False

    def begin(self) -> None:
        """A new request: what was asked before is no matter."""
        self._came_from_public = False

    def judge(self, address: str) -> Kind:
        """The kind of an address that may be asked.

        Raises:
            Refused: it may not.
        """
        kind = kind_of(address)
        if kind == "never":
            raise Refused(f"leads to {address}, an address that no file is published at; check TAXI_SOURCE.")
        if kind == "private" and self._came_from_public:
            raise Refused(
                f"redirects from a public address to the private one {address}, which is never followed; if that is "
                "the place that you mean, name it in TAXI_SOURCE."
            )
        if kind == "private" and not self._allow_private:
            raise Refused(
                f"leads to {address}, a private address; if a mirror inside your network is meant, set "
                "TAXI_SOURCE_ALLOW_PRIVATE=1."
            )
        return kind

    def pass_by(self, address: str) -> None:
        """Judge the peer of a connection that is about to be used, and remember where the request was.

        Raises:
            Refused: it may not be asked.
        """
        if self.judge(address) == "public":
            self._came_from_public = True


class GuardedSession(requests.Session):
    """A session whose every hop is judged, and which never goes from https back to http."""

    def __init__(self, allow_private: bool) -> None:
        super().__init__()
        self._guard = Guard(allow_private)
        adapter = _GuardedAdapter(self._guard)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """As requests', from a clean start.

        Raises:
            Refused: an address or a redirect that is not followed.
        """
        self._guard.begin()
        return super().request(*args, **kwargs)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """As requests', which asks here at each hop."""
        target = super().get_redirect_target(resp)
        if target and urlsplit(resp.url).scheme == "https" and urlsplit(urljoin(resp.url, target)).scheme == "http":
            raise Refused("redirects from https to http, which anybody on the way could change; check TAXI_SOURCE.")
        return target


class _GuardedAdapter(HTTPAdapter):
    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        # A proxy has a manager of its own: its address is the machine's own setting.
        self.poolmanager.pool_classes_by_scheme = _pools(self._guard)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        proxies: Mapping[str, str] | None = kwargs.get("proxies")
        if request.url and select_proxy(request.url, proxies):
            # The proxy resolves names and answers for where they lead; an address in the URL is plain to see.
            host = (urlsplit(request.url).hostname or "").strip("[]")
            try:
                ipaddress.ip_address(host.partition("%")[0])
            except ValueError:
                pass
            else:
                self._guard.pass_by(host)
        return super().send(request, *args, **kwargs)


def _pools(guard: Guard) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(_Judged, HTTPConnection):
        pass

    class Encrypted(_Judged, HTTPSConnection):
        pass

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    Plain.guard = Encrypted.guard = guard
    return {"http": PlainPool, "https": EncryptedPool}


class _Judged(HTTPConnection):
    """A connection that is judged before it is made and each time before it is used."""

    guard: Guard

    def _new_conn(self) -> socket.socket:
        try:
            answers = socket.getaddrinfo(self.host.strip("[]"), self.port, type=socket.SOCK_STREAM)
        except OSError:
            # It fails again below, where it gets the error that urllib3 has for it.
            answers = []
        for *_, address in answers:
            self.guard.judge(str(address[0]))
        return super()._new_conn()

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()
        # The peer itself: between both questions DNS may have changed its mind.
        self.guard.pass_by(str(self.sock.getpeername()[0]))
        super().request(*args, **kwargs)
