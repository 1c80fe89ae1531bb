"""A raw file in, two Parquet files out: the kept rows in the canonical schema, and the rejected ones.

One thread reads and unpacks, two parse and clean, this one writes: in the file's order, so that the same
raw file gives the same bytes every time.
"""

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, date
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from taxi_assets.cleaning.clean_block import CleanBlock, clean_block, rejected_batch
from taxi_assets.cleaning.duplicates import SHADOW_SHARED, KeyFiles
from taxi_assets.cleaning.faults import Fault
from taxi_assets.cleaning.layout import DEFAULTS
from taxi_assets.cleaning.options import ReadingOptions
from taxi_assets.cleaning.reading import BATCH_ROWS, Block, RawReader, open_raw
from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import METADATA_KEY, Cause, Manifest, Totals
from taxi_assets.contract.new_york import NEW_YORK, Mask
from taxi_assets.contract.rules import DUPLICATE, SHADOW, UNREADABLE
from taxi_assets.contract.schemas import CONTRACT_VERSION, REJECTED_SCHEMA, TIME
from taxi_assets.errors import ContractError, SettingsError

# The last group is written while nothing else is left to do: twice as many rows take 5 % longer.
ROW_GROUP_ROWS = 1 << 17
# A rejected row keeps its original text: as many as of the others would be a hundred megabytes.
REJECTED_GROUP_ROWS = 1 << 13
# Less takes 5 % longer; with more, a month from Parquet needs up to 30 MB more.
FREED_IS_KEPT_MS = 200
THREADS = 2
# Enough that both threads have work while this one writes a row group; more is no faster.
BLOCKS_IN_FLIGHT = 9
MARKED_UTC = "UTC"
SECONDS = "%Y-%m-%d %H:%M:%S"
# So many causes of unreadable rows are recorded, the most frequent ones.
SHOWN_CAUSES = 3


def clean_file(
    raw: Path,
    dataset: Dataset,
    month: date,
    folder: Path,
    *,
    raw_sha256: str = "",
    rules_off: Sequence[str] = (),
    source: str = "",
    options: ReadingOptions = DEFAULTS,
    progress: Callable[[int], None] | None = None,
) -> tuple[Path, Path, Manifest]:
    """Clean a raw file into `kept.parquet` and `rejected.parquet` in `folder`.

    Memory does not grow with the file; the folder needs room for the results and 24 bytes a row.

    Args:
        raw: The raw file.
        dataset: The dataset that it belongs to.
        month: The file's month.
        folder: Where the results are written.
        raw_sha256: Digest of the raw file, recorded in the manifest.
        rules_off: Names of rules not to apply.
        source: Where the file came from, recorded in the manifest.
        options: How to read zoned times and unknown columns.
        progress: Called now and then with the number of raw rows done.

    Raises:
        BadFileError: The file is not what its name claims.
        ContractError: Its columns are not those of the dataset, or its times are marked UTC and `options` leave open
            what that means.
        SettingsError: `rules_off` has a name of no rule, or of one that cannot be switched off.
    """
    off = _checked_rules(dataset, rules_off)
    with _frugal_memory_pool():
        reader = open_raw(raw, dataset, options)
        manifest = _new_manifest(reader, raw, dataset, month, off, raw_sha256, source)
        paths = folder / "kept.parquet", folder / "rejected.parquet"
        with GroupWriter(paths[1], REJECTED_SCHEMA, REJECTED_GROUP_ROWS) as rejects:
            rejects.metadata = {"header": json.dumps(reader.layout.header), "format": reader.layout.format}
            run = _Cleaning(reader, dataset, manifest, off)
            with GroupWriter(paths[0], dataset.schema.arrow) as kept, KeyFiles(folder) as keys:
                run.write_blocks(kept, rejects, keys, progress)
                run.finish_counts(options)
                duplicates = run.find_duplicates(keys)
                if duplicates is None:
                    kept.metadata = {METADATA_KEY: manifest.to_json()}
            if duplicates is not None:
                run.move_duplicates(duplicates, paths[0], rejects)
    return *paths, manifest


@contextmanager
def _frugal_memory_pool() -> Iterator[None]:
    """Let Arrow allocate by jemalloc, where the system has it, until the end of the block.

    Arrow's own choice keeps up to eighty megabytes more of what was freed.
    """
    before = pa.default_memory_pool()
    with suppress(NotImplementedError):
        pa.set_memory_pool(pa.jemalloc_memory_pool())
        pa.jemalloc_set_decay_ms(FREED_IS_KEPT_MS)
    try:
        yield
    finally:
        pa.set_memory_pool(before)


def _new_manifest(
    reader: RawReader, raw: Path, dataset: Dataset, month: date, off: frozenset[str], raw_sha256: str, source: str
) -> Manifest:
    return Manifest(
        dataset=dataset.name,
        month=month,
        contract_version=CONTRACT_VERSION,
        raw_file=raw.name,
        raw_sha256=raw_sha256,
        raw_rows=0,
        layout=reader.layout.description,
        source=source,
        rejected=dict.fromkeys(dataset.rule_names, 0),
        flagged=dict.fromkeys((flag.name for flag in dataset.quality_flags), 0),
        rules_off=sorted(off),
        kept=Totals(),
        ignored=reader.layout.ignored,
        discarded=reader.layout.discarded,
    )


class _Cleaning:
    """The steps of cleaning one file; each adds its counts to the manifest."""

    def __init__(self, reader: RawReader, dataset: Dataset, manifest: Manifest, off: frozenset[str]) -> None:
        present = {column.name for column in reader.layout.columns if column is not None}
        self._columns = [name for name in dataset.schema.names if name in present]
        self._reader, self._dataset, self._manifest, self._off = reader, dataset, manifest, off
        self._rejected_numbers: list[NDArray[np.int64]] = []
        self._zones = set(reader.layout.zones)
        # By column and what it expects: the first fault, and how many rows have one like it.
        self._causes: dict[tuple[str | None, str], tuple[Fault, int]] = {}

    def write_blocks(
        self, kept: "GroupWriter", rejects: "GroupWriter", keys: KeyFiles, progress: Callable[[int], None] | None
    ) -> None:
        """Clean the file block by block, in its order."""
        manifest, month = self._manifest, self._manifest.month

        def clean(block: Block) -> CleanBlock:
            return clean_block(block, self._dataset, month, self._columns, self._off)

        for block in _in_order(self._reader.blocks(), clean):
            numbers = block.numbers + manifest.raw_rows + 1
            rejects.write(rejected_batch(month, numbers, block.reasons, block.originals, block.faults))
            self._rejected_numbers.append(numbers)
            kept.write(block.kept)
            keys.write(block.keys)
            _count(block, manifest)
            self._zones |= block.zones
            self._count_causes(block.faults)
            if progress is not None:
                progress(manifest.raw_rows)
        pa.default_memory_pool().release_unused()

    def _count_causes(self, faults: Sequence[Fault | None]) -> None:
        for fault in faults:
            if fault is not None:
                key = fault.column, fault.expected
                first, rows = self._causes.get(key, (fault, 0))
                self._causes[key] = first, rows + 1

    def finish_counts(self, options: ReadingOptions) -> None:
        """Record zones and causes in the manifest once all blocks are read.

        Raises:
            ContractError: Times are marked UTC, and `options` leave open what that means.
        """
        manifest = self._manifest
        manifest.zones = sorted(self._zones)
        if MARKED_UTC in self._zones:
            if options.zoned_times is None:
                raise undecided_utc(manifest.kept)
            manifest.zoned_times = options.zoned_times
        most_frequent = sorted(self._causes.values(), key=lambda cause: -cause[1])[:SHOWN_CAUSES]
        manifest.causes = [Cause(f.text, f.column, f.expected, f.value, rows) for f, rows in most_frequent]

    def find_duplicates(self, keys: KeyFiles) -> Mask | None:
        """Mark the kept rows that repeat an earlier one, if there are any; count shadow duplicates meanwhile."""
        shadows = SHADOW in self._manifest.flagged and set(SHADOW_SHARED) <= set(self._columns)
        with ThreadPoolExecutor(1) as pool:
            # Both sort a column of keys, which releases the interpreter's lock.
            count = pool.submit(keys.count_shadows) if shadows else None
            duplicates = None if DUPLICATE in self._off else keys.find_duplicates()
        if count is not None:
            self._manifest.flagged[SHADOW] = count.result()
        return duplicates

    def move_duplicates(self, duplicates: Mask, kept_path: Path, rejects: "GroupWriter") -> None:
        """Move duplicates from the kept rows to the rejected ones, in a second pass that most months do not need."""
        numbers = _row_numbers(np.flatnonzero(duplicates), np.concatenate(self._rejected_numbers))
        originals = _originals(self._reader, numbers)
        manifest = self._manifest
        manifest.rejected[DUPLICATE] = len(numbers)
        manifest.kept = Totals()
        unique_path = kept_path.with_name("unique.parquet")
        at = moved = 0
        with GroupWriter(unique_path, self._dataset.schema.arrow) as unique:
            for batch in pq.ParquetFile(kept_path).iter_batches(BATCH_ROWS):
                drop = duplicates[at : at + batch.num_rows]
                kept = batch.filter(pa.array(~drop))
                unique.write(kept)
                manifest.kept.add(kept, self._dataset.schema)
                rows = numbers[moved : moved + int(drop.sum())]
                texts = list(islice(originals, len(rows)))
                rejects.write(rejected_batch(manifest.month, rows, [DUPLICATE] * len(rows), texts))
                at, moved = at + batch.num_rows, moved + len(rows)
            unique.metadata = {METADATA_KEY: manifest.to_json()}
        unique_path.replace(kept_path)


def undecided_utc(read: Totals) -> ContractError:
    """Return the error for times marked UTC, with both readings of the pickups that were read as wall-clock times."""
    pickups = [time for time in (read.first_pickup, read.last_pickup) if time is not None]
    converted = [time.replace(tzinfo=UTC).astimezone(NEW_YORK) for time in pickups]
    as_they_stand, as_converted = (
        " and ".join(f"{time:{SECONDS}}" for time in times) for times in (pickups, converted)
    )
    readings = f": first and last pickup are {as_they_stand} as they stand, or {as_converted} if converted"
    return ContractError(
        "The file's times are marked UTC, which can be true or a mark that a program put on New York's wall-clock "
        f"times{readings if pickups else ''}; choose by zoned_times: convert or as_wall_clock in the run's config, by "
        "TAXI_ZONED_TIMES, or by --zoned-times."
    )


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


def _originals(reader: RawReader, numbers: NDArray[np.int64]) -> Iterator[str]:
    """Return the rows of those numbers as published, from reading the raw file once more."""
    start = 0
    for read in reader.blocks():
        block = read()
        wanted = numbers[(numbers > start) & (numbers <= start + block.count)] - start - 1
        yield from block.original(np.searchsorted(block.numbers, wanted))
        start += block.count


def _row_numbers(positions: NDArray[np.int64], rejected: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return positions among the kept rows, from 0, as positions in the raw file, from 1.

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
