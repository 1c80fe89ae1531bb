"""An unfinished download on disk: `<name>.part`, its lock, its sidecar, and the rename that publishes it.

The lock is `flock` on the `.part` file itself, so that no lock file is left behind and a killed process
holds nothing. Because the file is renamed while locked, whoever gets the lock must look whether the
name still leads to the file it locked.
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
class Begun:
    """A broken transfer: bytes that may be kept, the validator that goes into If-Range, and whose they are."""

    size: int
    validator: str
    fingerprint: Fingerprint


class PartFile:
    """The `.part` file of one name, open and locked; made by `open_part`.

    `finished_meanwhile` is the fingerprint of the whole file that another process put in place while
    this one waited for the lock, where that process knew one.
    """

    def __init__(self, fd: int, path: Path, target: Path, finished_meanwhile: Fingerprint | None) -> None:
        self._fd = fd
        self.path = path
        self.target = target
        self.sidecar = path.with_name(path.name + ".json")
        self.finished_meanwhile = finished_meanwhile
        self.size = os.fstat(fd).st_size
        self.resumed_bytes = 0
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Digest of the bytes so far, in hexadecimal."""
        return self._hash.hexdigest()

    def begun(self, url: str) -> Begun | None:
        """What is there of the file at that (redacted) URL and can be continued."""
        noted = _read_sidecar(self.sidecar)
        fingerprint, validator = _noted_fingerprint(noted), noted.get("validator")
        if fingerprint.url != url or noted.get("inode") != os.fstat(self._fd).st_ino or not isinstance(validator, str):
            return None
        # After a crash of the machine the file's tail may be zeros that were never written.
        if noted.get("boot") != _boot_id():
            return None
        # A whole file still lacks its check and rename. Its last byte is asked for again, since asking for
        # nothing is answered 416, which also stands for a file that shrank.
        size = self.size if fingerprint.bytes is None else min(self.size, fingerprint.bytes - 1)
        return Begun(size, validator, fingerprint) if size > 0 else None

    def begin(self, fingerprint: Fingerprint, validator: str | None, offset: int) -> None:
        """Keep the first `offset` bytes, note whose they are and hash them; without validator nothing is noted."""
        # First, so that a kill in between never leaves the old bytes under the new file's validator.
        os.ftruncate(self._fd, offset)
        if not validator:
            self.sidecar.unlink(missing_ok=True)
        else:
            noted: dict[str, object] = {"url": fingerprint.url, "etag": fingerprint.etag}
            noted |= {"last_modified": fingerprint.last_modified, "bytes": fingerprint.bytes, "validator": validator}
            noted |= {"inode": os.fstat(self._fd).st_ino, "boot": _boot_id()}
            self.sidecar.write_text(json.dumps(noted))
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._hash = hashlib.sha256()
        self.size = self.resumed_bytes = offset
        left = offset
        while left:
            chunk = os.read(self._fd, min(CHUNK, left))
            self._hash.update(chunk)
            left -= len(chunk)

    def need(self, total: int) -> None:
        """Refuse a file that cannot fit, before it takes the last byte from the databases on the same disk.

        Raises:
            DiskFullError: the disk has less free than the file of `total` bytes needs beside what is here already.
        """
        free = shutil.disk_usage(self.path.parent).free
        if total - self.size > free:
            raise DiskFullError(_full(self.target, f"{total - self.size} more bytes are needed and {free} are free"))

    def write(self, chunk: bytes) -> None:
        """Append to the file and the digest."""
        view = memoryview(chunk)
        while view:
            view = view[_write(self._fd, view) :]
        self._hash.update(chunk)
        self.size += len(chunk)

    def publish(self) -> Path:
        """Make the bytes durable and give them the published name, replacing a file of that name at once."""
        os.fsync(self._fd)
        # The sidecar goes first: after the rename another process may have written its own.
        self.sidecar.unlink(missing_ok=True)
        os.replace(self.path, self.target)
        folder = os.open(self.target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return self.target

    def remove(self) -> None:
        """Delete the file and its sidecar; once published, there is nothing to delete."""
        if _is_at(self._fd, self.path):
            self.sidecar.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)


@contextmanager
def open_part(folder: Path, name: str, wait_seconds: float) -> Iterator[PartFile]:
    """The locked `.part` of a name, waiting for another process that is fetching the same file.

    When the block ends well or with an error that asking again will not mend, nothing but the published
    file remains; any other end keeps what can be resumed.

    Raises:
        SourceUnavailableError: the other process held the lock for longer than `wait_seconds`.
        DiskFullError: the disk is full; what was written is deleted to give its space back.
        SettingsError: the folder cannot be written.
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
            full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            if permanent or full or not part.sidecar.exists() or not part.size:
                part.remove()
            raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            with suppress(OSError):
                raise DiskFullError(_full(target, f"{shutil.disk_usage(folder).free} bytes are free")) from None
            raise DiskFullError(_full(target, "no bytes are free")) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise SettingsError(
                f"{folder} cannot be written ({error.strerror}); mend its permissions or set TAXI_DATA_DIR."
            ) from None
        raise
    finally:
        if part is not None:
            os.close(part._fd)


def discard_part(folder: Path, name: str) -> None:
    """Delete the leftover `.part` of a name that is not needed any more, unless a process is writing it."""
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
    noted: dict[str, object] = {}
    sidecar = path.with_name(path.name + ".json")
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            noted = _read_sidecar(sidecar) or noted
            while not _try_lock(fd):
                noted = _read_sidecar(sidecar) or noted
                if time.monotonic() > deadline:
                    raise SourceUnavailableError(
                        f"Another process has been fetching {target.name} for over {wait_seconds:.0f} s; "
                        "let it finish or stop it, then run this again."
                    )
                time.sleep(_POLL_SECONDS)
            if _is_at(fd, path):
                return PartFile(fd, path, target, finished)
            if _is_at(fd, target) and noted.get("inode") == os.fstat(fd).st_ino:
                finished = _noted_fingerprint(noted)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _try_lock(fd: int) -> bool:
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
        noted = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def _noted_fingerprint(noted: dict[str, object]) -> Fingerprint:
    text = {name: value for name, value in noted.items() if isinstance(value, str)}
    length = noted.get("bytes")
    return Fingerprint(
        text.get("url", ""), text.get("etag"), text.get("last_modified"), length if isinstance(length, int) else None
    )


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""  # not Linux


def _full(target: Path, numbers: str) -> str:
    return (
        f"The disk of {target.parent} is full: {numbers}, so {target.name} cannot be stored; "
        "free space or set TAXI_DATA_DIR to a folder on a larger disk."
    )
