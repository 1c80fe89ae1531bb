"""Limit the size of a raw file, packed and unpacked, to several times that of the largest month.

Without limits a small malicious file could fill the disk or the memory.
"""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

# The largest months have 3 GB of CSV, 0.5 GB of Parquet and 24 million rows.
MAX_FILE_BYTES = 8 << 30
MAX_UNPACKED_BYTES = 16 << 30
MAX_ROWS = 250_000_000
# A gzip of trips unpacks to 5 to 10 times its size, a gzip of zeros to 1000 times.
MAX_GZIP_RATIO = 100
# Up to this size any ratio is allowed: many equal lines in a small file are harmless.
RATIO_FREE_BYTES = 64 << 20
# Parquet is unpacked by column chunk, and its footer as a whole.
MAX_COLUMN_CHUNK_BYTES = 1 << 30
MAX_FOOTER_BYTES = 16 << 20
# A text in a dictionary is stored once and may be repeated in every row of a batch.
MAX_TEXT_BYTES = 1 << 15


def max_unzipped_bytes(packed_bytes: int) -> int:
    """Return how many bytes a gzip of that size may unpack to."""
    return min(MAX_UNPACKED_BYTES, max(RATIO_FREE_BYTES, packed_bytes * MAX_GZIP_RATIO))


def parquet_excess(path: Path, metadata: pq.FileMetaData) -> str | None:
    """Describe what in a Parquet file exceeds a limit, by its footer and its dictionaries; None if nothing does.

    Raises:
        pyarrow.ArrowException: A dictionary cannot be decoded.
        OSError: The file cannot be read.
    """
    unpacked = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        chunks = [group.column(column) for column in range(metadata.num_columns)]
        for chunk in chunks:
            unpacked += chunk.total_uncompressed_size
            if chunk.total_uncompressed_size > MAX_COLUMN_CHUNK_BYTES:
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
    # Reading one row loads the dictionaries without expanding their texts.
    first = next(file.iter_batches(1, row_groups=[group], columns=names, use_threads=False), None)
    dictionaries = (
        [column.dictionary for column in first.columns if pa.types.is_dictionary(column.type)] if first else []
    )
    return max((pc.max(pc.binary_length(texts)).as_py() or 0 for texts in dictionaries), default=0)
