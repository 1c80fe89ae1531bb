"""Values that describe a published file and the result of a download; no network and no files.

Every URL that is shown, stored as metadata or logged goes through `redact` first.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from taxi_assets.contract.object_names import SUFFIXES
from taxi_assets.errors import SettingsError

_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_AUTHORITY = re.compile(r"([^/?#]*)(.*)", re.DOTALL)
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:\d*)?")
_SCHEMES = ("https", "http", "file")


def redact(url: str) -> str:
    """Return the URL without user info, query and fragment, which may hold secrets."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return re.split(r"[?#]", url, maxsplit=1)[0]
    authority, remainder = _AUTHORITY.fullmatch(rest).groups()  # type: ignore[union-attr]
    host = authority.rpartition("@")[2]
    # A password with an unescaped '/', '?' or '#' ends the authority early, and its beginning looks like a port.
    if not _HOST.fullmatch(host) or (":" in host and "@" in remainder):
        return f"{scheme}://(unreadable address)"
    return f"{scheme}://{host}{re.split(r'[?#]', remainder, maxsplit=1)[0]}"


def file_name_of(url: str) -> str:
    """Return the published file's name: the last segment of the URL's path, safe to join to a folder.

    Raises:
        SettingsError: The URL cannot be parsed, has another scheme, or does not end in a raw file's name.
    """
    shown = redact(url)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise SettingsError(f"{shown} is not a URL that can be read; check TAXI_SOURCE.") from None
    if parts.scheme not in _SCHEMES or (parts.scheme != "file" and not parts.hostname):
        raise SettingsError(f"{shown} is not an https://, http:// or file:// URL; check TAXI_SOURCE.")
    if parts.scheme == "file" and (parts.netloc not in ("", "localhost") or "\0" in unquote(parts.path)):
        raise SettingsError(f"{shown} is no file of this machine; write it as file:///folder/file.")
    name = unquote(parts.path.rpartition("/")[2])
    if not _FILE_NAME.fullmatch(name) or not name.endswith(SUFFIXES) or len(name) > 200:
        raise SettingsError(
            f"{shown} does not end in a file name of at most 200 letters, digits, '.', '_' and '-' "
            f"with {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}; check TAXI_SOURCE."
        )
    return name


@dataclass(frozen=True)
class Fingerprint:
    """The identity of a file at its source, stored as object metadata in the lake and compared next time.

    `url` is redacted. `etag` and `last_modified` are copied from the source. `bytes` is the length of the whole
    file, or None if the source does not declare it.
    """

    url: str
    etag: str | None = None
    last_modified: str | None = None
    bytes: int | None = None

    @property
    def can_compare(self) -> bool:
        """Return whether a conditional request can be made with it."""
        return bool(self.etag or self.last_modified)

    def unchanged(self, other: "Fingerprint") -> bool:
        """Return whether both are the same file at the same URL: by ETag or, without any, by date and length."""
        if self.url != other.url:
            return False
        if self.etag or other.etag:
            return bool(self.etag and other.etag) and _opaque(self.etag) == _opaque(other.etag)
        return bool(self.last_modified and self.bytes is not None) and (
            (self.last_modified, self.bytes) == (other.last_modified, other.bytes)
        )

    def to_metadata(self) -> dict[str, str]:
        """Return it as object metadata, without the values that are unknown."""
        pairs = {"source_url": self.url, "source_etag": self.etag, "source_last_modified": self.last_modified}
        pairs["source_bytes"] = None if self.bytes is None else str(self.bytes)
        return {name: value for name, value in pairs.items() if value is not None}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str] | None) -> "Fingerprint | None":
        """Read what `to_metadata` wrote. Return None for an object that was stored without a fingerprint."""
        if not metadata or not metadata.get("source_url"):
            return None
        length = metadata.get("source_bytes", "")
        return cls(
            url=metadata["source_url"],
            etag=metadata.get("source_etag"),
            last_modified=metadata.get("source_last_modified"),
            bytes=int(length) if length.isdecimal() else None,
        )


def _opaque(etag: str | None) -> str:
    # RFC 9110's weak comparison: proxies that compress mark the same file's tag as weak.
    return (etag or "").removeprefix("W/")


@dataclass(frozen=True)
class RawFile:
    """A fetched raw file.

    If the file is unchanged at its source, `path` is None, `sha256` is empty, `fingerprint` is the known one and
    `bytes` its length, or 0 if unknown. `resumed_bytes` were on disk already from an interrupted transfer.
    """

    path: Path | None
    file_name: str
    fingerprint: Fingerprint
    sha256: str
    bytes: int
    not_modified: bool
    resumed_bytes: int = 0
    attempts: int = 1
