"""`python -m taxi_assets.local.storage_emulator ...`: gcp-storage-emulator, made safe to kill and fit for large files.

As published it writes files in place. A kill while it writes its index of all objects leaves half a JSON
text, with which it never starts again; a reader of an object may see the front half of a new version.
And at each chunk of an upload it reads and writes all that came before: 578 MB took 36 s, and take 4 here.
"""

from pathlib import Path

from gcp_storage_emulator import storage  # type: ignore[import-untyped]
from gcp_storage_emulator.__main__ import main  # type: ignore[import-untyped]
from gcp_storage_emulator.exceptions import BadRequest  # type: ignore[import-untyped]


def write_whole(store: storage._FileStore, rel: str, content: bytes) -> None:
    """Stand in for `_FileStore.write_bytes` on disk: write beside the target, then rename over it."""
    path: Path = store._disk_path(rel)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The server handles one request at a time, so one temporary name a folder is enough.
    temporary = path.with_name(".taxi-new")
    temporary.write_bytes(content)
    temporary.replace(path)


def received_bytes(service: storage.Storage, file_id: str) -> int:
    """Stand in for `Storage.get_resumable_byte_count`: how much of an upload has come."""
    path = _upload_path(service, file_id)
    return path.stat().st_size if path.exists() else 0


def add_chunk(
    service: storage.Storage,
    file_id: str,
    content: bytes | None,
    total_size: int | None = None,
    expected_start: int | None = None,
) -> bytes | None:
    """Stand in for `Storage.add_to_resumable_upload`: append the chunk; the whole content when it was the last.

    Raises:
        BadRequest: the chunk is not the next one.
    """
    received = received_bytes(service, file_id)
    if expected_start not in (None, received):
        raise BadRequest(f"Invalid Content-Range start: expected {received}, got {expected_start}")
    path = _upload_path(service, file_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(content or b"")
    if total_size is None or received_bytes(service, file_id) < total_size:
        return None
    return path.read_bytes()[:total_size]


def _upload_path(service: storage.Storage, file_id: str) -> Path:
    path: Path = service._store._disk_path(service._object_path(storage.RESUMABLE_DIR, service.safe_id(file_id)))
    return path


# What the stand-ins call.
NEEDED = ((storage._FileStore, "_disk_path"), (storage.Storage, "_object_path"), (storage.Storage, "safe_id"))
REPLACED = {
    (storage._FileStore, "write_bytes"): write_whole,
    (storage.Storage, "get_resumable_byte_count"): received_bytes,
    (storage.Storage, "add_to_resumable_upload"): add_chunk,
}

if __name__ == "__main__":
    # A version that renames these must not lose the stand-ins silently.
    if not all(hasattr(owner, name) for owner, name in (*NEEDED, *REPLACED)):
        raise SystemExit("gcp-storage-emulator has changed; adapt taxi_assets/local/storage_emulator.py.")
    for (owner, name), replacement in REPLACED.items():
        setattr(owner, name, replacement)
    main()
