"""A raw file in, two Parquet files out: the kept rows in the canonical schema, and the rejected ones.

One thread reads and unpacks, two parse and clean, this one writes: in the file's order, so that the same
raw file gives the same bytes every time.
"""

import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from taxi_assets.cleaning.clean_block import REJECTED_SCHEMA, CleanBlock, clean_block, rejected_batch
from taxi_assets.cleaning.duplicates import SHADOW_SHARED, KeyFiles
from taxi_assets.cleaning.reading import BATCH_ROWS, Block, RawReader, open_raw
from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import METADATA_KEY, Manifest, Totals
from taxi_assets.contract.rules import DUPLICATE, SHADOW, UNREADABLE, Mask
from taxi_assets.contract.schemas import CONTRACT_VERSION, TIME
from taxi_assets.errors import SettingsError

# The last group is written while nothing else is to be done: twice as many rows take a twentieth longer.
ROW_GROUP_ROWS = 1 << 17
# A rejected row keeps its original text: as many as of the others would be a hundred megabytes.
REJECTED_GROUP_ROWS = 1 << 13
# Less takes a twentieth longer; with more, a month from Parquet needs up to thirty megabytes more.
FREED_IS_KEPT_MS = 200
THREADS = 2
# Enough that both threads have work while this one writes a row group; more is no faster.
BLOCKS_IN_FLIGHT = 9


def clean_file(
    raw: Path,
    dataset: Dataset,
    month: date,
    folder: Path,
    *,
    raw_sha256: str = "",
    rules_off: Sequence[str] = (),
    source: str = "",
    progress: Callable[[int], None] | None = None,
) -> tuple[Path, Path, Manifest]:
    """Clean a raw file into `kept.parquet` and `rejected.parquet` in `folder`.

    `source` and `raw_sha256` are only recorded. `progress` is told the number of raw rows done, now and
    then. Memory does not grow with the file; the folder needs room for the results and 24 bytes a row.

    Raises:
        BadFileError, ContractError: see `open_raw`.
        SettingsError: `rules_off` names a rule that does not exist or cannot be switched off.
    """
    with suppress(NotImplementedError):
        # Arrow's own choice keeps up to eighty megabytes more of what was freed; not every system has this one.
        pa.set_memory_pool(pa.jemalloc_memory_pool())
        pa.jemalloc_set_decay_ms(FREED_IS_KEPT_MS)
    off = _checked_rules(dataset, rules_off)
    reader = open_raw(raw, dataset)
    present = {column.name for column in reader.layout.columns if column is not None}
    columns = [name for name in dataset.schema.names if name in present]
    manifest = Manifest(
        dataset=dataset.name,
        month=month,
        contract_version=CONTRACT_VERSION,
        raw_file=raw.name,
        raw_sha256=raw_sha256,
        raw_rows=0,
        layout=f"{reader.layout.format}, {len(reader.layout.header)} columns",
        source=source,
        rejected=dict.fromkeys(dataset.rule_names, 0),
        flagged=dict.fromkeys((flag.name for flag in dataset.quality_flags), 0),
        rules_off=sorted(off),
        kept=Totals(),
    )
    kept_path, rejected_path = (folder / name for name in ("kept.parquet", "rejected.parquet"))
    rejected_numbers: list[NDArray[np.int64]] = []
    with GroupWriter(rejected_path, REJECTED_SCHEMA, REJECTED_GROUP_ROWS) as rejects:
        rejects.metadata = {"header": json.dumps(reader.layout.header), "format": reader.layout.format}
        with GroupWriter(kept_path, dataset.schema.arrow) as kept, KeyFiles(folder) as keys:
            for block in _in_order(reader.blocks(), lambda b: clean_block(b, dataset, month, columns, off)):
                numbers = block.numbers + manifest.raw_rows + 1
                rejects.write(rejected_batch(month, numbers, block.reasons, block.originals))
                rejected_numbers.append(numbers)
                kept.write(block.kept)
                keys.write(block.keys)
                _count(block, manifest)
                if progress is not None:
                    progress(manifest.raw_rows)
            pa.default_memory_pool().release_unused()
            shadows = SHADOW in manifest.flagged and set(SHADOW_SHARED) <= set(columns)
            with ThreadPoolExecutor(1) as pool:
                # Beside the search for duplicates: both sort a column of keys, which leaves the interpreter free.
                count = pool.submit(keys.count_shadows) if shadows else None
                again = None if DUPLICATE in off else keys.find_duplicates()
            if count is not None:
                manifest.flagged[SHADOW] = count.result()
            if again is None:
                kept.metadata = {METADATA_KEY: manifest.to_json()}
        if again is not None:
            numbers = _row_numbers(np.flatnonzero(again), np.concatenate(rejected_numbers))
            _drop(again, numbers, _originals(reader, numbers), kept_path, rejects, dataset, manifest)
    return kept_path, rejected_path, manifest


def _checked_rules(dataset: Dataset, rules_off: Sequence[str]) -> frozenset[str]:
    can = [name for name in dataset.rule_names if name != UNREADABLE]
    wrong = [name for name in rules_off if name not in can]
    if wrong:
        raise SettingsError(f"{wrong[0]!r} is no rule that {dataset.name} can switch off; those are {', '.join(can)}.")
    return frozenset(rules_off)


def _in_order(blocks: Iterator[Callable[[], Block]], clean: Callable[[Block], CleanBlock]) -> Iterator[CleanBlock]:
    """Clean blocks in threads, while one more reads ahead; only a few are in flight, so that memory is bounded."""

    def next_block(read: Future[Callable[[], Block] | None]) -> CleanBlock | None:
        parse = read.result()
        return None if parse is None else clean(parse())

    with ThreadPoolExecutor(1) as reading, ThreadPoolExecutor(THREADS) as cleaning:
        waiting: deque[Future[CleanBlock | None]] = deque()
        try:
            while True:
                while len(waiting) < BLOCKS_IN_FLIGHT:
                    waiting.append(cleaning.submit(next_block, reading.submit(next, blocks, None)))
                block = waiting.popleft().result()
                if block is None:
                    return
                yield block
        finally:
            for future in waiting:
                future.cancel()


def _count(block: CleanBlock, manifest: Manifest) -> None:
    manifest.raw_rows += block.count
    for reason, count in Counter(block.reasons).items():
        manifest.rejected[reason] += count
    for flag, count in block.flagged.items():
        manifest.flagged[flag] += count
    manifest.kept.merge(block.totals)


def _drop(
    again: Mask,
    numbers: NDArray[np.int64],
    originals: Iterator[str],
    kept_path: Path,
    rejects: "GroupWriter",
    dataset: Dataset,
    manifest: Manifest,
) -> None:
    """Move duplicates from the kept rows to the rejected ones, in a second pass that most months are spared."""
    manifest.rejected[DUPLICATE] = len(numbers)
    manifest.kept = Totals()
    unique_path = kept_path.with_name("unique.parquet")
    at = moved = 0
    with GroupWriter(unique_path, dataset.schema.arrow) as unique:
        for batch in pq.ParquetFile(kept_path).iter_batches(BATCH_ROWS):
            drop = again[at : at + batch.num_rows]
            kept = batch.filter(pa.array(~drop))
            unique.write(kept)
            manifest.kept.add(kept, dataset.schema)
            rows = numbers[moved : moved + int(drop.sum())]
            texts = list(islice(originals, len(rows)))
            rejects.write(rejected_batch(manifest.month, rows, [DUPLICATE] * len(rows), texts))
            at, moved = at + batch.num_rows, moved + len(rows)
        unique.metadata = {METADATA_KEY: manifest.to_json()}
    os.replace(unique_path, kept_path)


def _originals(reader: RawReader, numbers: NDArray[np.int64]) -> Iterator[str]:
    """The rows of those numbers as published, from reading the raw file once more."""
    start = 0
    for read in reader.blocks():
        block = read()
        wanted = numbers[(numbers > start) & (numbers <= start + block.count)] - start - 1
        yield from block.original(np.searchsorted(block.numbers, wanted))
        start += block.count


def _row_numbers(positions: NDArray[np.int64], rejected: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions among the kept rows, from 0, as positions in the raw file, from 1.

    `rejected` are the numbers of the rejected rows in rising order: before the i-th of them stand
    its number less i less 1 kept ones.
    """
    kept_before = rejected - np.arange(len(rejected)) - 1
    return positions + np.searchsorted(kept_before, positions, side="right") + 1


class GroupWriter:
    """A Parquet file written in row groups of a fixed size; `metadata` is added when it is closed."""

    def __init__(self, path: Path, schema: pa.Schema, group_rows: int = ROW_GROUP_ROWS) -> None:
        self.metadata: dict[bytes | str, str] = {}
        self._schema, self._group_rows = schema, group_rows
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            compression_level=1,
            # Nearly every time is another one: a dictionary of them costs time and makes the file larger.
            use_dictionary=[field.name for field in schema if field.type != TIME],
        )
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        with closing(self._writer):
            if error is None:
                self._write_group()
                self._writer.add_key_value_metadata(self.metadata)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        if not batch.num_rows:
            return
        self._waiting.append(batch)
        self._rows += batch.num_rows
        if self._rows >= self._group_rows:
            self._write_group()

    def _write_group(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema))
        self._waiting, self._rows = [], 0
