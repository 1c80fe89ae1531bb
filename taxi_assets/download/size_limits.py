"""How large a raw file may be, packed and unpacked: several times any month ever published, and no more.

A source that is not what it seems could otherwise fill the disk or the memory with few bytes of its own.
"""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

# The largest months have 3 GB of CSV, half a gigabyte of Parquet and 24 million rows.
MAX_FILE_BYTES = 8 << 30
MAX_UNPACKED_BYTES = 16 << 30
MAX_ROWS = 250_000_000
# A gzip of trips holds five to ten times its size, one of zeros a thousand times.
MAX_RATIO = 100
# Below this the ratio says nothing: a thousand equal lines are no bomb.
FREE_BYTES = 64 << 20
# Of Parquet, what is unpacked at once: a column of a row group, and the description of all of them.
MAX_CHUNK_BYTES = 1 << 30
MAX_FOOTER_BYTES = 16 << 20
# A text that Parquet stores once may stand in each of the rows that are read together.
MAX_TEXT_BYTES = 1 << 15


def most_unzipped(packed: int) -> int:
    """Bytes that a gzip of `packed` bytes may unzip to."""
    return min(MAX_UNPACKED_BYTES, max(FREE_BYTES, packed * MAX_RATIO))


def parquet_excess(path: Path, metadata: pq.FileMetaData) -> str | None:
    """What of the file is too much, in words; told from its footer and from its dictionaries of texts.

    Raises:
        pyarrow.ArrowException, OSError: a dictionary cannot be read.
    """
    unpacked = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        chunks = [group.column(column) for column in range(metadata.num_columns)]
        for chunk in chunks:
            unpacked += chunk.total_uncompressed_size
            if chunk.total_uncompressed_size > MAX_CHUNK_BYTES:
                return f"unpacks {chunk.path_in_schema} to {chunk.total_uncompressed_size} bytes at once"
        longest = _longest_text(path, number, chunks)
        if longest > MAX_TEXT_BYTES:
            return f"has a text of {longest} bytes"
    if metadata.num_rows > MAX_ROWS:
        return f"has {metadata.num_rows} rows"
    return f"unpacks to {unpacked} bytes" if unpacked > MAX_UNPACKED_BYTES else None


def _longest_text(path: Path, group: int, chunks: Iterable[pq.ColumnChunkMetaData]) -> int:
    names = [
        chunk.path_in_schema
        for chunk in chunks
        if chunk.physical_type == "BYTE_ARRAY"
        and chunk.has_dictionary_page
        and chunk.total_uncompressed_size > MAX_TEXT_BYTES
    ]
    if not names:
        return 0
    file = pq.ParquetFile(path, read_dictionary=names)
    # One row, for which the dictionaries are read but no text is spread.
    first = next(file.iter_batches(1, row_groups=[group], columns=names, use_threads=False), None)
    dictionaries = (
        [column.dictionary for column in first.columns if pa.types.is_dictionary(column.type)] if first else []
    )
    return max((pc.max(pc.binary_length(texts)).as_py() or 0 for texts in dictionaries), default=0)
