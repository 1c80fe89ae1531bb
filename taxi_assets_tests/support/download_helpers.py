"""Data that the download tests share: a file to fetch, retry settings, and the check of a whole file."""

import gzip
import hashlib
import random
from pathlib import Path

from taxi_assets.download.fingerprint import RawFile
from taxi_assets.download.retries import RetrySettings

_RANDOM = random.Random(3)
CSV = b"id,fare\n" + b"".join(b"%d,%d\n" % (n, _RANDOM.randrange(10**9)) for n in range(20_000))
DATA = gzip.compress(CSV)
SHA = hashlib.sha256(DATA).hexdigest()
NAME = "green_tripdata_2020-04.csv.gz"
HALF = len(DATA) // 2
FAST = RetrySettings(timeout_seconds=5, attempts=4, backoff_seconds=0.01, lock_seconds=15)
IMPATIENT = RetrySettings(timeout_seconds=0.3, attempts=2, backoff_seconds=0.01, lock_seconds=15)
ONCE = RetrySettings(timeout_seconds=5, attempts=1, backoff_seconds=0.01, lock_seconds=15)
ROOT = Path(__file__).resolve().parents[1]
# Fetches argv[1] into the folder argv[2] in a process of its own.
SCRIPT = """
import sys
from pathlib import Path
from taxi_assets.download.fetch import download
from taxi_assets.download.retries import RetrySettings
raw = download(sys.argv[1], Path(sys.argv[2]), retry=RetrySettings(30, 1, 0.01, 20))
print(raw.sha256, raw.resumed_bytes)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_whole(raw: RawFile, folder: Path, data: bytes = DATA) -> None:
    assert raw.path == folder / raw.file_name
    assert not raw.not_modified
    assert raw.path.read_bytes() == data
    assert (raw.sha256, raw.bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert raw.fingerprint.bytes == len(data)
    assert names(folder) == [raw.file_name]
