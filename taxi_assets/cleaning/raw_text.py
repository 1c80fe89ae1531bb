"""A raw CSV as a stream of UTF-8, whether it is packed or not, and in UTF-16 as spreadsheets write it."""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from isal import igzip, isal_zlib

from taxi_assets.errors import BadFileError

HEAD_BYTES = 1 << 16
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# What files begin with that are no text, and what they are.
_MAGIC = {
    b"PAR1": "a Parquet file; rename it to end in .parquet",
    b"\x1f\x8b": "packed by gzip; rename it to end in .csv.gz",
    b"PK\x03\x04": "a ZIP file or a workbook; unpack it, or save it as CSV",
    b"(\xb5/\xfd": "packed by zstd; unpack it",
    b"BZh": "packed by bzip2; unpack it",
    b"\xfd7zXZ": "packed by xz; unpack it",
    b"SQLite format 3": "a database; export its table as CSV",
    b"ORC": "an ORC file; write it as Parquet",
    b"Obj\x01": "an Avro file; write it as Parquet",
    b"ARROW1": "an Arrow file; write it as Parquet",
    b"\xd0\xcf\x11\xe0": "a workbook; save it as CSV",
}


class TextFile(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes:
        """Return about that many of the next bytes, none at the end."""


class _Recoded:
    """A stream of UTF-16 as UTF-8."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-16")("replace")

    def read(self, size: int, /) -> bytes:
        while chunk := self._file.read(size):
            if text := self._decoder.decode(chunk):
                return text.encode("utf-8", "replace")
        return self._decoder.decode(b"", final=True).encode("utf-8", "replace")


@contextmanager
def open_text(path: Path) -> Iterator[TextFile]:
    """Open a CSV, packed or not, as UTF-8."""
    with _open(path) as file:
        is_utf_16 = read_part(file, 2, path) in _UTF_16
    with _open(path) as file:
        yield _Recoded(file) if is_utf_16 else file


def _open(path: Path) -> BinaryIO:
    return igzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")  # type: ignore


def read_part(file: TextFile, size: int, path: Path) -> bytes:
    """Return about `size` of the next bytes.

    Raises:
        BadFileError: The file is damaged.
    """
    try:
        return file.read(size)
    except (EOFError, OSError, isal_zlib.error) as error:  # type: ignore[misc]
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadFileError(f"{path.name} is a broken gzip file ({error}); fetch it again.") from error


def read_head(path: Path) -> bytes:
    """Return the first bytes of a CSV.

    Raises:
        BadFileError: The file is damaged, or no text.
    """
    with open_text(path) as file:
        head = read_part(file, HEAD_BYTES, path)
    for magic, found in _MAGIC.items():
        if head.startswith(magic):
            raise BadFileError(f"{path.name} is no CSV but {found}.")
    if b"\0" in head.lstrip().partition(b"\n")[0]:
        raise BadFileError(f"{path.name} is no CSV but binary data; export it as CSV or Parquet.")
    return head
