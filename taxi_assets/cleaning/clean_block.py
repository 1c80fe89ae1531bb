"""One block of a raw file in; its kept rows, its rejected rows and what was counted out. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from taxi_assets.cleaning.blocks import Block
from taxi_assets.cleaning.duplicates import SHADOW_SHARED, Keys, row_keys
from taxi_assets.cleaning.faults import Fault
from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import Totals
from taxi_assets.contract.rules import SHADOW, UNREADABLE, Rows
from taxi_assets.contract.schemas import REJECTED_SCHEMA, TEXT


@dataclass(frozen=True)
class CleanBlock:
    """What became of a block; `numbers` are positions in the block, from 0, of the rejected rows.

    `faults` has the reason of each unreadable row, None for the others.
    """

    count: int
    kept: pa.RecordBatch
    numbers: NDArray[np.int64]
    reasons: list[str]
    originals: list[str]
    faults: list[Fault | None]
    flagged: dict[str, int]
    totals: Totals
    keys: Keys
    zones: frozenset[str]


def clean_block(
    block: Block, dataset: Dataset, month: date, columns: Sequence[str], rules_off: frozenset[str] = frozenset()
) -> CleanBlock:
    """Apply the dataset's rules to a block; `columns` are the canonical ones that the file has."""
    rows = Rows(block.rows)
    reason = np.zeros(len(rows), np.int8)
    if block.unreadable is not None:
        reason[block.unreadable] = dataset.rule_names.index(UNREADABLE) + 1
    for number, rule in enumerate(dataset.rules, start=1):
        found = None if rule.name in rules_off else rule.find(rows, month)
        if found is not None:
            reason[found & (reason == 0)] = number
    rejected = np.flatnonzero(reason)
    kept = block.rows.filter(pa.array(reason == 0)) if len(rejected) else block.rows
    kept = kept.append_column("source_month", pa.array(np.full(kept.num_rows, month, "datetime64[D]")))
    kept = kept.cast(dataset.schema.arrow)
    totals = Totals()
    totals.add(kept, dataset.schema)
    shadows = any(d.name == SHADOW for d in dataset.quality_flags) and set(SHADOW_SHARED) <= set(columns)
    numbers, reasons, originals, faults = _rejected(block, dataset, rejected, reason)
    return CleanBlock(
        block.count,
        kept,
        numbers,
        reasons,
        originals,
        faults,
        {d.name: _count(d.find(rows, month)) for d in dataset.quality_flags},
        totals,
        row_keys(kept, list(columns), shadows),
        block.zones,
    )


def _count(found: NDArray[np.bool_] | None) -> int:
    return 0 if found is None else int(found.sum())


def _rejected(
    block: Block, dataset: Dataset, rejected: NDArray[np.int64], reason: NDArray[np.int8]
) -> tuple[NDArray[np.int64], list[str], list[str], list[Fault | None]]:
    """Return positions, reasons, originals and faults of the rejected rows and the torn lines, in the file's order."""
    numbers = block.numbers[rejected]
    names = dataset.rule_names
    reasons = [names[number - 1] for number in reason[rejected].tolist()]
    originals = block.original(rejected) if len(rejected) else []
    faults: list[Fault | None] = [None] * len(rejected)
    if block.unreadable is not None:
        faults = block.faults(rejected)
    if block.torn:
        numbers = np.concatenate([numbers, [number for number, _ in block.torn]])
        reasons += [UNREADABLE] * len(block.torn)
        originals += [text for _, text in block.torn]
        faults += [block.torn_fault(text) for _, text in block.torn]
        order = np.argsort(numbers, kind="stable")
        numbers = numbers[order]
        reasons, originals = [reasons[i] for i in order], [originals[i] for i in order]
        faults = [faults[i] for i in order]
    return numbers, reasons, originals, faults


def rejected_batch(
    month: date,
    numbers: NDArray[np.int64],
    reasons: list[str],
    originals: list[str],
    faults: Sequence[Fault | None] = (),
) -> pa.RecordBatch:
    """Return rejected rows in `REJECTED_SCHEMA`; without `faults`, none has a cause."""
    months = pa.array(np.full(len(numbers), month, "datetime64[D]"))
    causes = [fault and fault.text for fault in faults] or [None] * len(numbers)
    columns = [
        months,
        pa.array(numbers, pa.int64()),
        *(pa.array(texts, TEXT) for texts in (reasons, originals, causes)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=REJECTED_SCHEMA)
