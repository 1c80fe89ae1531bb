"""The lake: the bucket that all machines share, and the folder that caches its objects here."""

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import google_crc32c
from google.api_core import exceptions
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY
from pydantic import Field

from taxi_assets.errors import ServiceError, ServiceUnavailableError, SupersededError
from taxi_assets.resources.google_errors import PATIENCE_SECONDS, client_arguments, google_errors
from taxi_assets.resources.scratch import scratch_folder

RETRY = DEFAULT_RETRY.with_timeout(PATIENCE_SECONDS)
TIMEOUT = (10.0, 300.0)
# A resumable upload holds one of these in memory, and a broken connection costs at most one.
UPLOAD_CHUNK = 4 << 20


@dataclass(frozen=True)
class LakeObject:
    """An object as the bucket describes it; `crc32c` is base64, `updated` an aware time."""

    name: str
    uri: str
    bytes: int
    crc32c: str
    metadata: Mapping[str, str]
    updated: datetime


@dataclass(frozen=True)
class LakeFile:
    """An object for a warehouse to load, by its address in the bucket or as a local file.

    A month never goes backward: the lake publishes a month before any warehouse loads it, so a load that finds the same
    object still published, while it holds the month's lock in the warehouse, cannot replace a newer month. What is
    published later is loaded later, by a load that waits for the lock. So a warehouse calls `check_published` in the
    step that swaps, after it has the lock, or before a swap that fails if another load has swapped since.
    """

    uri: str
    local: Callable[[], AbstractContextManager[Path]]
    # A file without an object of its own is never replaced.
    is_current: Callable[[], bool] = lambda: True

    def check_published(self) -> None:
        """Check that the object is still the one in the lake.

        Raises:
            SupersededError: It was replaced or removed since it was described; a retry loads the newer one.
        """
        if not self.is_current():
            raise SupersededError(
                f"{self.uri} was replaced while it was loaded; the older rows were not published. A retry loads the "
                "newer ones."
            )


class LakeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Objects of one bucket, with a local copy of those that this machine made or fetched."""

    project: str | None = Field(description="Google Cloud project.")
    bucket: str | None = Field(description="Name of the bucket.")
    billed_project: str | None = Field(default=None, description="Project that pays, if the requester does.")
    data_dir: str = Field(description="Folder of local state; its `cache` mirrors the bucket's object names.")
    emulator_host: str | None = Field(default=None, description="Address of a storage emulator, if there is one.")

    def get_client(self) -> storage.Client:
        """Return a client of Google Cloud Storage, or of the emulator."""
        return storage.Client(project=self.project, **client_arguments(self.emulator_host))

    @cached_property
    def _bucket(self) -> storage.Bucket:
        if not self.bucket:
            raise ServiceError("No bucket is set; set TAXI_GCS_BUCKET to the bucket of the lake.")
        return self.get_client().bucket(self.bucket, user_project=self.billed_project)

    @contextmanager
    def get_bucket(self) -> Iterator[storage.Bucket]:
        """Yield the bucket for calls of one's own, and convert their errors."""
        with self._errors():
            yield self._bucket

    def local_path(self, name: str) -> Path:
        """Return the path of an object's local copy, whether or not it exists.

        Raises:
            ServiceError: The name leads out of the cache; anyone who may write to the bucket chooses names.
        """
        if ".." in name.split("/") or name.startswith("/") or "\0" in name:
            raise ServiceError(f"gs://{self.bucket} holds an object named {name!r}, which no asset makes; delete it.")
        return Path(self.data_dir) / "cache" / name

    def scratch(self) -> AbstractContextManager[Path]:
        """Return a new scratch folder on the same disk as the cache."""
        return scratch_folder(Path(self.data_dir) / "tmp")

    def find(self, name: str) -> LakeObject | None:
        """Return the object of that name, or None."""
        with self._errors():
            blob = self._get(name)
        return _described(blob) if blob is not None else None

    def list(self, prefix: str) -> Iterator[LakeObject]:
        """Yield all objects whose names begin with the prefix."""
        with self._errors():
            for blob in self._bucket.list_blobs(prefix=prefix, retry=RETRY, timeout=TIMEOUT):
                yield _described(blob)

    def put(self, path: Path, name: str, metadata: Mapping[str, str], cache_control: str | None = None) -> LakeObject:
        """Upload a file and verify its checksum in the bucket.

        An object that already holds the same bytes is not sent again. Uploading is atomic: readers see the old object
        or the new one. `cache_control` is what a web server of the bucket sends with it.

        Raises:
            ServiceUnavailableError: The bucket reports another checksum than that of the file.
        """
        crc32c = crc32c_of(path)
        with self._errors():
            blob = self._bucket.get_blob(name, retry=RETRY, timeout=TIMEOUT)
            if blob is not None and blob.crc32c == crc32c and blob.size == path.stat().st_size:
                # The new metadata marks the object as the newest of its month. A key set to None is removed.
                blob.metadata = dict.fromkeys(blob.metadata or {}) | dict(metadata)
                # Not found: another run has replaced or promoted it since.
                with suppress(exceptions.NotFound):
                    blob.patch(retry=RETRY, timeout=TIMEOUT)
                    _check(blob, crc32c)
                    return _described(blob)
            # The upload's response describes what was stored, even if another run overwrites it at once.
            blob = self._bucket.blob(name, chunk_size=UPLOAD_CHUNK)
            blob.metadata = dict(metadata)
            blob.cache_control = cache_control
            blob.upload_from_filename(path, checksum="crc32c", retry=RETRY, timeout=TIMEOUT)
        _check(blob, crc32c)
        return _described(blob)

    def promote(self, pending: str, name: str, check: Callable[[LakeObject], None] = lambda _: None) -> None:
        """Give a pending object its final name, verify it, and remove the pending one.

        If nothing is pending, do nothing: another run of the month may have been faster. `check` raises if the pending
        object must not be published; the copy fails if the published object has changed since the check.

        Raises:
            ServiceUnavailableError: The copy differs, or another run has published meanwhile.
        """
        with self._errors():
            published, source = self._get(name), self._get(pending)
            if source is None:
                return
            check(_described(source))
            blob = self._bucket.blob(name)
            blob.metadata = dict(source.metadata or {})
            # Match the generations: an object that another run writes meanwhile is neither mixed in nor removed.
            same = source.generation
            matched: dict[str, Any] = {
                "if_source_generation_match": same,
                "if_generation_match": published.generation if published else 0,
                "retry": RETRY,
                "timeout": TIMEOUT,
            }
            with suppress(exceptions.NotFound):
                token, *_ = blob.rewrite(source, **matched)
                while token is not None:
                    token, *_ = blob.rewrite(source, token=token, **matched)
                blob.reload(retry=RETRY, timeout=TIMEOUT)
                _check(blob, source.crc32c)
                source.delete(if_generation_match=same, retry=RETRY, timeout=TIMEOUT)

    def fetch(self, name: str) -> Path:
        """Return the object as a local file; download it unless the cached copy has the right checksum.

        Raises:
            ServiceError: There is no such object.
        """
        with self._errors():
            blob = self._get(name)
            if blob is None:
                raise ServiceError(
                    f"gs://{self.bucket}/{name} is not there; materialize the asset that makes it first."
                )
            path = self.local_path(name)
            if path.is_file() and path.stat().st_size == blob.size and crc32c_of(path) == blob.crc32c:
                return path
            path.parent.mkdir(parents=True, exist_ok=True)
            with self.scratch() as folder:
                part = folder / path.name
                blob.download_to_filename(part, checksum="crc32c", retry=RETRY, timeout=TIMEOUT)
                part.replace(path)
        return path

    def remove(self, item: LakeObject) -> None:
        """Remove an object unless it was replaced since it was described."""
        with self._errors():
            blob = self._get(item.name)
            if blob is not None and blob.updated == item.updated:
                with suppress(exceptions.NotFound):
                    blob.delete(if_generation_match=blob.generation, retry=RETRY, timeout=TIMEOUT)

    def is_intact(self, item: LakeObject) -> bool:
        """Return whether the bucket sends the bytes that it describes; the embedded one may not after a crash."""
        with self._errors(), self.scratch() as folder:
            sent = folder / "sent"
            self._bucket.blob(item.name).download_to_filename(sent, checksum=None, retry=RETRY, timeout=TIMEOUT)
            return crc32c_of(sent) == item.crc32c

    @contextmanager
    def borrowed(self, name: str) -> Iterator[Path]:
        """Fetch an object as a local file, and remove the copy afterwards if it was not cached before."""
        kept = self.local_path(name).is_file()
        path = self.fetch(name)
        try:
            yield path
        finally:
            if not kept:
                path.unlink(missing_ok=True)

    def file(self, item: LakeObject, *, keep: bool = True) -> LakeFile:
        """Return an object for a warehouse to load; with `keep`, a local copy stays in the cache."""

        def local() -> AbstractContextManager[Path]:
            return nullcontext(self.fetch(item.name)) if keep else self.borrowed(item.name)

        def is_current() -> bool:
            now = self.find(item.name)
            return now is not None and now.crc32c == item.crc32c

        return LakeFile(item.uri, local, is_current)

    def _get(self, name: str) -> storage.Blob | None:
        blob = self._bucket.get_blob(name, retry=RETRY, timeout=TIMEOUT)
        if blob is None:
            # `get_blob` also returns None for a missing bucket; listing raises then.
            next(iter(self._bucket.list_blobs(max_results=1, retry=RETRY, timeout=TIMEOUT)), None)
        return blob

    def _errors(self) -> AbstractContextManager[None]:
        what = f"the bucket gs://{self.bucket}"
        return google_errors(
            what, self.emulator_host, f"{what} does not exist; create it, or set TAXI_GCS_BUCKET to one that does."
        )


def crc32c_of(path: Path) -> str:
    """Return the file's CRC32C as Cloud Storage writes it, base64 of the big-endian bytes."""
    checksum = google_crc32c.Checksum()
    with path.open("rb") as file:
        for _ in checksum.consume(file, 1 << 20):
            pass
    return base64.b64encode(checksum.digest()).decode()


def _check(blob: storage.Blob, crc32c: str) -> None:
    if blob.crc32c != crc32c:
        raise ServiceUnavailableError(
            f"The bucket holds {blob.name} with checksum {blob.crc32c}, but {crc32c} was sent; run it again."
        )


def _described(blob: storage.Blob) -> LakeObject:
    return LakeObject(
        blob.name,
        f"gs://{blob.bucket.name}/{blob.name}",
        blob.size,
        blob.crc32c,
        {name: value for name, value in (blob.metadata or {}).items() if value is not None},
        blob.updated,
    )
