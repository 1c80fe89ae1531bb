"""The lines of a part of a CSV, counted and found apart from Arrow's parser."""

import codecs
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


class Lines:
    """The lines of a part of a CSV that are not blank, found once; carriage returns at their ends do not count."""

    def __init__(self, part: bytes) -> None:
        self._part = part
        text = np.frombuffer(part, np.uint8)
        ends = np.flatnonzero(text == ord("\n"))
        if not part.endswith(b"\n"):
            ends = np.append(ends, len(part))
        starts = np.concatenate(([0], ends[:-1] + 1))
        # Not `part.count`, which is as slow for a byte as for a word.
        returns = np.count_nonzero(text == ord("\r")) if b"\r" in part else 0
        returned = (ends > starts) & (text[ends - 1] == ord("\r")) if returns else np.zeros(len(ends), np.bool_)
        # Others would end a line for Arrow, and do not here.
        self.has_lone_returns = returns != np.count_nonzero(returned)
        # Before another line Arrow would read on for the closing quote; at the end of a block it would not.
        quotes = np.flatnonzero(text == ord('"')) if b'"' in part else np.empty(0, np.int64)
        self.has_open_quotes = bool((np.bincount(np.searchsorted(ends, quotes)) % 2).any())
        ends = ends - returned
        filled = ends > starts
        if self.has_lone_returns:
            filled &= [bool(part[s:e].strip(b"\r")) for s, e in zip(starts, ends, strict=True)]
        self._starts, self._ends = starts[filled], ends[filled]

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, number: int) -> bytes:
        return self._part[self._starts[number] : self._ends[number]].rstrip(b"\r")

    def __iter__(self) -> Iterator[bytes]:
        return (self[number] for number in range(len(self)))


def shown(line: bytes) -> str:
    """Return a line as rejected rows show it; no byte is lost."""
    return line.decode("utf-8", "backslashreplace")


def is_text(part: bytes) -> bool:
    """Return whether Arrow reads all of the part as it is."""
    if part.isascii():
        return True
    try:
        part.decode()
    except UnicodeDecodeError:
        return False
    # It would swallow a byte order mark.
    return not part.startswith(codecs.BOM_UTF8)


def place(lines: Lines, torn_texts: list[str]) -> tuple[NDArray[np.int64], list[tuple[int, str]]]:
    """Return which lines became rows, and where the torn ones stand; both are in the file's order."""
    if not torn_texts:
        return np.arange(len(lines)), []
    torn: list[tuple[int, str]] = []
    waiting = iter(torn_texts)
    text = next(waiting, None)
    whole = []
    for number, line in enumerate(lines):
        if text is not None and line.decode() == text.rstrip("\r\n"):
            torn.append((number, text.rstrip("\r\n")))
            text = next(waiting, None)
        else:
            whole.append(number)
    return np.array(whole, np.int64), torn
