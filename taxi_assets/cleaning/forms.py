"""The forms in which a file writes its values, where they are not those that hold for every file."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Forms:
    """The forms of a file's values, as its first rows show them.

    `plain_times` is whether Arrow's parser reads the times by itself. `day_first` is the order of `1/4/2020`; None
    makes such a value unreadable. `zoned` allows zones in the text of times. `converts_utc` is whether times marked
    UTC are instants; they are wall-clock times otherwise. `decimal_comma` is whether `1,5` is one and a half.
    `null_words` are the words for no value that were seen, so that Arrow's parser can read them.
    """

    plain_times: bool = True
    day_first: bool | None = None
    zoned: bool = False
    converts_utc: bool = False
    decimal_comma: bool = False
    null_words: frozenset[str] = frozenset()


PLAIN = Forms()
