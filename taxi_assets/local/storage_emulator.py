"""`python -m taxi_assets.local.storage_emulator ...`: gcp-storage-emulator, made safe to kill.

As published it writes files in place. A kill while it writes its index of all objects leaves half a JSON
text, with which it never starts again; a reader of an object may see the front half of a new version.
"""

import os
from pathlib import Path

from gcp_storage_emulator import storage  # type: ignore[import-untyped]
from gcp_storage_emulator.__main__ import main  # type: ignore[import-untyped]


def write_whole(store: storage._FileStore, rel: str, content: bytes) -> None:
    """Stand in for `_FileStore.write_bytes` on disk: write beside the target, then rename over it."""
    path: Path = store._disk_path(rel)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The server handles one request at a time, so one temporary name a folder is enough.
    temporary = path.with_name(".taxi-new")
    temporary.write_bytes(content)
    os.replace(temporary, path)


if __name__ == "__main__":
    # A version that names these otherwise must not lose the guard unseen.
    if not (hasattr(storage._FileStore, "write_bytes") and hasattr(storage._FileStore, "_disk_path")):
        raise SystemExit("gcp-storage-emulator has changed; adapt taxi_assets/local/storage_emulator.py.")
    storage._FileStore.write_bytes = write_whole
    main()
