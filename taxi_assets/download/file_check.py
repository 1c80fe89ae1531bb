"""Check that a raw file is what its name claims, by the file's own bytes, before it replaces a good one.

The data contract checks the columns; this module does not.
"""

import re
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
from isal import igzip, igzip_lib

from taxi_assets.download import size_limits
from taxi_assets.errors import BadFileError

_CHUNK = 1 << 20
_HEAD_BYTES = 1 << 16
_ZIP_MAGIC = b"PK\x03\x04"
_GZIP_MAGIC = b"\x1f\x8b"
_PARQUET_MAGIC = b"PAR1"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# isal's stubs declare its error as an instance.
_DAMAGE_ERRORS: tuple[type[Exception], ...] = (OSError, cast(type[Exception], igzip_lib.IsalError))
_ADVICE = "delete it and fetch it again, or correct TAXI_SOURCE"


def check_file(path: Path, name: str | None = None) -> str:
    """Check that a raw file is whole. Return its format: `csv`, `csv.gz`, `parquet` or `zip`.

    A gzip is decompressed once as a stream, which verifies its CRC and length. Servers unpack a `.csv.gz`, or send a
    `.csv` packed as Content-Encoding, so that of these two the bytes count and not the name.

    Args:
        path: The file.
        name: The published name, if the file still has another one.

    Raises:
        BadFileError: The file is empty, truncated, an error page, or not in the format of its name.
    """
    name = name or path.name
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise BadFileError(f"{name} is empty where a file of trips was expected; {_ADVICE}.")
    _reject_page(name, head)
    if name.endswith(".parquet"):
        _check_parquet(path, name, head)
        return "parquet"
    if name.endswith((".csv", ".csv.gz")):
        if head.startswith(_GZIP_MAGIC):
            _check_gzip(path, name)
            return "csv.gz"
        _check_csv_header(name, head, "")
        return "csv"
    is_zip = name.endswith(".zip")
    if is_zip and head.startswith(_ZIP_MAGIC):
        return "zip"
    no_zip = "is no ZIP archive and " if is_zip else ""
    raise BadFileError(
        f"{name} {no_zip}does not end in .csv, .csv.gz or .parquet, so its format is not known; rename it."
    )


def _reject_page(name: str, head: bytes) -> None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b"<", b"{", b"[")):
        kind = "an HTML or XML page" if text.startswith(b"<") else "a JSON answer"
        raise BadFileError(f"{name} is {kind} ({_excerpt(text)}) where a file of trips was expected; {_ADVICE}.")


def _excerpt(head: bytes) -> str:
    title = re.search(rb"<title[^>]*>(.{1,200}?)</title>", head, re.IGNORECASE | re.DOTALL)
    text = (title[1] if title else head[:400]).decode("utf-8", "replace")
    return f"'{_printable(text)[:80]}'"


def _printable(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def name_by_content(name: str, file_format: str) -> str:
    """Return the file's name with the ending of the format that `check_file` found."""
    ending = next(suffix for suffix in (".csv.gz", ".csv", ".parquet", ".zip") if name.endswith(suffix))
    return f"{name.removesuffix(ending)}.{file_format}"


def begins_like_a_page(first: bytes) -> bool:
    """Return whether the first byte of a response is that of HTML, XML or JSON, or white space before them."""
    return first[:1] in (b"<", b"{", b"[", b" ", b"\r", b"\n", b"\t")


def _check_csv_header(name: str, head: bytes, inside: str) -> None:
    if head.startswith(_UTF_16_MARKS):
        head = head.decode("utf-16", "replace").encode()
    line = head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n").split(b"\n", 1)[0].strip()
    if head.startswith(_GZIP_MAGIC):
        found = "a gzip"
    elif head.startswith(_PARQUET_MAGIC):
        found = "a Parquet file"
    elif b"\0" in head:
        found = "binary data"
    elif not line:
        found = "only empty lines" if len(head) < _HEAD_BYTES else "no first line"
    elif not any(separator in line for separator in (b",", b"\t", b";", b"|")):
        found = f"a first line without a comma, {_excerpt(line)}"
    else:
        return
    raise BadFileError(f"{name} holds {found}{inside} where a CSV header was expected; {_ADVICE}.")


def _check_gzip(path: Path, name: str) -> None:
    limit = size_limits.max_unzipped_bytes(path.stat().st_size)
    start, unzipped, damage = _unzip(path, limit)
    if unzipped > limit:
        damage = f"a gzip of {path.stat().st_size} bytes that unzips to over {limit}, more than any month holds"
    elif not unzipped:
        damage = damage or "a gzip of nothing"
    if damage:
        raise BadFileError(f"{name} is {damage}, where a whole gzip of a CSV was expected; {_ADVICE}.")
    _reject_page(name, start)
    _check_csv_header(name, start, " in its gzip")


def _unzip(path: Path, limit: int) -> tuple[bytes, int, str | None]:
    """Unzip the file or a little more than `limit` bytes of it. Return the first bytes, the number, and any damage."""
    start, unzipped = b"", 0
    try:
        with igzip.IGzipFile(path, "rb") as stream:  # type: ignore[no-untyped-call]
            while unzipped <= limit and (chunk := stream.read(_CHUNK)):
                if len(start) < _HEAD_BYTES:
                    start += chunk[: _HEAD_BYTES - len(start)]
                unzipped += len(chunk)
    except EOFError:
        damage = f"a torn gzip: it ends in the middle, after {path.stat().st_size} bytes ({unzipped} unzipped)"
        return start, unzipped, damage
    except _DAMAGE_ERRORS as error:
        # BadGzipFile is an OSError without an errno; one with an errno is a fault of the disk.
        if getattr(error, "errno", None):
            raise
        return start, unzipped, f"a damaged gzip ({error}) after {unzipped} unzipped bytes"
    return start, unzipped, None


def _check_parquet(path: Path, name: str, head: bytes) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 8))
        footer_bytes, tail = int.from_bytes(file.read(4), "little"), file.read(4)
    if not head.startswith(_PARQUET_MAGIC):
        kind = "a gzip" if head.startswith(_GZIP_MAGIC) else f"not Parquet: it begins {_excerpt(head[:40])}"
        raise BadFileError(f"{name} is {kind}, where PAR1 was expected; {_ADVICE}.")
    if tail != _PARQUET_MAGIC:
        raise BadFileError(f"{name} is a Parquet file without its footer (it ends after {size} bytes); {_ADVICE}.")
    if size_limits.MAX_FOOTER_BYTES < footer_bytes < size:
        raise BadFileError(
            f"{name} is a Parquet file with a footer of {footer_bytes} bytes where at most "
            f"{size_limits.MAX_FOOTER_BYTES} were expected; {_ADVICE}."
        )
    try:
        metadata = pq.read_metadata(path)
        end = _data_end(metadata)
        excess = size_limits.parquet_excess(path, metadata)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        cause = _printable(str(error))[:200].rstrip(".")
        raise BadFileError(f"{name} is a Parquet file whose footer cannot be read ({cause}); {_ADVICE}.") from None
    if excess:
        raise BadFileError(f"{name} is a Parquet file that {excess}, more than any month holds; {_ADVICE}.")
    if end > size - 8 - footer_bytes:
        # A piece is missing from the middle of the file.
        raise BadFileError(
            f"{name} is a Parquet file with a piece missing: its data would end at byte {end} and its footer "
            f"begins at {size - 8 - footer_bytes}; {_ADVICE}."
        )


def _data_end(metadata: pq.FileMetaData) -> int:
    chunks = (
        metadata.row_group(group).column(column)
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    )
    return max((_chunk_start(chunk) + chunk.total_compressed_size for chunk in chunks), default=0)


def _chunk_start(chunk: pq.ColumnChunkMetaData) -> int:
    if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
        return min(int(chunk.data_page_offset), int(chunk.dictionary_page_offset))
    return int(chunk.data_page_offset)
