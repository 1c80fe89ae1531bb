"""How messages show names and values of a file: enough to find them by, and never more than fits in a sentence."""

from collections.abc import Sequence

SHOWN_NAMES = 8
SHOWN_LETTERS = 60


def shortened(text: str) -> str:
    """Return as much of the text as a message can show."""
    return text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}..."


def quoted(text: str) -> str:
    """Return the text in quotes, with what cannot be printed escaped."""
    return repr(shortened(text))


def listed(names: Sequence[str]) -> str:
    """Return the first names in quotes, and how many more there are."""
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(quoted(name) for name in names[:SHOWN_NAMES]) + more


def columns_named(names: Sequence[str]) -> str:
    """Return the names as a part of a sentence: `the columns 'a', 'b'`."""
    return f"the column{'s' if len(names) > 1 else ''} {listed(names)}"
