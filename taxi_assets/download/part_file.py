"""Manage an unfinished download on disk: `<name>.part`, its lock, its sidecar, and the rename that publishes it.

The lock is `flock` on the `.part` file itself, so that no lock file is left behind and a killed process holds
nothing. The file is renamed while it is locked. So a process that gets the lock must check that the name still
leads to the file it locked.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from taxi_assets.download.fingerprint import Fingerprint
from taxi_assets.errors import DiskFullError, SettingsError, SourceUnavailableError, TaxiError

CHUNK = 1 << 20
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class PartialTransfer:
    """An interrupted transfer: the bytes to keep, the validator for If-Range, and the file's fingerprint."""

    size: int
    validator: str
    fingerprint: Fingerprint


class PartFile:
    """The `.part` file of one name, open and locked; made by `open_part`.

    `published_meanwhile` is the fingerprint of the whole file that another process published while this one waited
    for the lock, if that process recorded one.
    """

    def __init__(self, fd: int, path: Path, target: Path, published_meanwhile: Fingerprint | None) -> None:
        self._fd = fd
        self.path = path
        self.target = target
        self.sidecar = path.with_name(path.name + ".json")
        self.published_meanwhile = published_meanwhile
        self.size = os.fstat(fd).st_size
        self.resumed_bytes = 0
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The hexadecimal digest of the bytes written so far."""
        return self._hash.hexdigest()

    def resumable(self, url: str) -> PartialTransfer | None:
        """Return the interrupted transfer of that redacted URL, if it can be continued."""
        recorded = _read_sidecar(self.sidecar)
        fingerprint, validator = _recorded_fingerprint(recorded), recorded.get("validator")
        if (
            fingerprint.url != url
            or recorded.get("inode") != os.fstat(self._fd).st_ino
            or not isinstance(validator, str)
        ):
            return None
        # After a crash of the machine, the end of the file may be zeros that were never written.
        if recorded.get("boot") != _boot_id():
            return None
        # A whole file still has to be checked and renamed. Its last byte is requested again: an empty range is
        # answered with 416, which also means that the file shrank.
        size = self.size if fingerprint.bytes is None else min(self.size, fingerprint.bytes - 1)
        return PartialTransfer(size, validator, fingerprint) if size > 0 else None

    def begin(self, fingerprint: Fingerprint, validator: str | None, offset: int) -> None:
        """Keep the first `offset` bytes and hash them. Record the fingerprint if there is a validator to resume by."""
        # First of all: a kill after it must not leave old bytes with the new file's validator.
        os.ftruncate(self._fd, offset)
        if not validator:
            self.sidecar.unlink(missing_ok=True)
        else:
            recorded: dict[str, object] = {"url": fingerprint.url, "etag": fingerprint.etag}
            recorded |= {"last_modified": fingerprint.last_modified, "bytes": fingerprint.bytes, "validator": validator}
            recorded |= {"inode": os.fstat(self._fd).st_ino, "boot": _boot_id()}
            self.sidecar.write_text(json.dumps(recorded))
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._hash = hashlib.sha256()
        self.size = self.resumed_bytes = offset
        left = offset
        while left:
            chunk = os.read(self._fd, min(CHUNK, left))
            self._hash.update(chunk)
            left -= len(chunk)

    def require_space(self, total: int) -> None:
        """Check that a file of `total` bytes fits on the disk, which the databases may share.

        Raises:
            DiskFullError: The bytes still missing are more than the disk has free.
        """
        free = shutil.disk_usage(self.path.parent).free
        if total - self.size > free:
            raise DiskFullError(
                _disk_full_text(self.target, f"{total - self.size} more bytes are needed and {free} are free")
            )

    def write(self, chunk: bytes) -> None:
        """Append to the file and update the digest."""
        view = memoryview(chunk)
        while view:
            view = view[_write(self._fd, view) :]
        self._hash.update(chunk)
        self.size += len(chunk)

    def publish(self) -> Path:
        """Flush the bytes to disk and rename the file to its published name, atomically. Return that path."""
        os.fsync(self._fd)
        # The sidecar is deleted first: after the rename another process may write its own.
        self.sidecar.unlink(missing_ok=True)
        self.path.replace(self.target)
        folder = os.open(self.target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return self.target

    def rename_target(self, name: str) -> None:
        """Give the file another published name."""
        self.target = self.target.with_name(name)

    def remove(self) -> None:
        """Delete the file and its sidecar, unless the file was published."""
        if _is_at(self._fd, self.path):
            self.sidecar.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)


@contextmanager
def open_part(folder: Path, name: str, wait_seconds: float) -> Iterator[PartFile]:
    """Open and lock the `.part` of a name. Wait if another process is fetching the same file.

    If the block succeeds or raises a permanent error, only the published file remains. After any other error the
    bytes that can be resumed are kept.

    Raises:
        SourceUnavailableError: The other process held the lock for longer than `wait_seconds`.
        DiskFullError: The disk is full. The bytes written are deleted to free their space.
        SettingsError: The folder cannot be written.
    """
    target = folder / name
    part: PartFile | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = _lock(target.with_name(name + ".part"), target, wait_seconds)
        try:
            yield part
            part.remove()
        except BaseException as error:
            permanent = isinstance(error, TaxiError) and not error.retryable
            if permanent or _is_disk_full(error) or not part.sidecar.exists() or not part.size:
                part.remove()
            raise
    except OSError as error:
        raise _convert(error, target) from None
    finally:
        if part is not None:
            os.close(part._fd)


def _is_disk_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _convert(error: OSError, target: Path) -> Exception:
    if _is_disk_full(error):
        free = "no"
        with suppress(OSError):
            free = str(shutil.disk_usage(target.parent).free)
        return DiskFullError(_disk_full_text(target, f"{free} bytes are free"))
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return SettingsError(
            f"{target.parent} cannot be written ({error.strerror}); mend its permissions or set TAXI_DATA_DIR."
        )
    return error


def discard_part(folder: Path, name: str) -> None:
    """Delete the leftover `.part` of a name, unless a process is writing it."""
    path = folder / f"{name}.part"
    with suppress(FileNotFoundError):
        fd = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            PartFile(fd, path, folder / name, None).remove()
        except BlockingIOError:
            pass
        finally:
            os.close(fd)


def _lock(path: Path, target: Path, wait_seconds: float) -> PartFile:
    deadline = time.monotonic() + wait_seconds
    finished: Fingerprint | None = None
    recorded: dict[str, object] = {}
    sidecar = path.with_name(path.name + ".json")
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            recorded = _read_sidecar(sidecar) or recorded
            while not _lock_now(fd):
                recorded = _read_sidecar(sidecar) or recorded
                if time.monotonic() > deadline:
                    raise SourceUnavailableError(
                        f"Another process has been fetching {target.name} for over {wait_seconds:.0f} s; "
                        "let it finish or stop it, then run this again."
                    )
                time.sleep(_POLL_SECONDS)
            if _is_at(fd, path):
                return PartFile(fd, path, target, finished)
            if _is_at(fd, target) and recorded.get("inode") == os.fstat(fd).st_ino:
                finished = _recorded_fingerprint(recorded)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _lock_now(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(fd: int, data: memoryview) -> int:
    return os.write(fd, data)


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _read_sidecar(path: Path) -> dict[str, object]:
    try:
        recorded = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return recorded if isinstance(recorded, dict) else {}


def _recorded_fingerprint(recorded: dict[str, object]) -> Fingerprint:
    text = {name: value for name, value in recorded.items() if isinstance(value, str)}
    length = recorded.get("bytes")
    return Fingerprint(
        text.get("url", ""), text.get("etag"), text.get("last_modified"), length if isinstance(length, int) else None
    )


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""  # not Linux


def _disk_full_text(target: Path, numbers: str) -> str:
    return (
        f"The disk of {target.parent} is full: {numbers}, so {target.name} cannot be stored; "
        "free space or set TAXI_DATA_DIR to a folder on a larger disk."
    )
