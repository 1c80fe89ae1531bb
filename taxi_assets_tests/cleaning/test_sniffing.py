"""What the first values of a file show about the forms of all."""

import pytest

from taxi_assets.cleaning.sniffing import Published, Sniffed, sniff
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.errors import ContractError

SCHEMA = DATASETS["yellow"].schema


def sniffed(commas_are_free: bool = False, **values: list[str]) -> Sniffed:
    published = [Published(name, SCHEMA.column(name), texts) for name, texts in values.items()]
    return sniff(published, converts_utc=False, commas_are_free=commas_are_free)


def test_a_plain_file_has_plain_forms() -> None:
    found = sniffed(pickup_datetime=["2020-04-01 00:00:00", ""], fare_amount=["1.5", "-2"], payment_type=["1", ""])
    assert (found.forms.plain_times, found.forms.zoned, found.forms.decimal_comma) == (True, False, False)
    assert (found.forms.null_words, found.zones, found.undecided) == (frozenset(), frozenset(), None)


def test_times_in_other_forms() -> None:
    found = sniffed(pickup_datetime=["2020-04-01T00:00:00Z"], dropoff_datetime=["1/4/2020 0:12", "2020-04-01"])
    assert (found.forms.plain_times, found.forms.zoned) == (False, True)
    assert (found.zones, found.undecided) == ({"UTC"}, "1/4/2020 0:12")


@pytest.mark.parametrize(
    ("texts", "free", "is_decimal"),
    [
        (["1,5"], True, True),
        (["1,5"], False, False),  # the comma would have ended the field
        (["1,234"], True, False),  # thousands
        (["1,5", "2.5"], True, False),
        (["1.234,5", "2,75"], True, True),
    ],
)
def test_decimal_commas(texts: list[str], free: bool, is_decimal: bool) -> None:
    assert sniffed(free, fare_amount=texts).forms.decimal_comma is is_decimal


def test_a_code_that_other_columns_use_as_no_value_is_none() -> None:
    payment = SCHEMA.column("payment_type")
    [_, column] = sniffed(fare_amount=["NA", "1"], payment_type=["NA", "CRD"]).columns
    assert column is not None
    assert payment.codes.keys() - column.codes.keys() == {"na"}
    [column] = sniffed(payment_type=["NA", "CRD"]).columns
    assert column == payment


@pytest.mark.parametrize(
    ("texts", "words"), [(["1585699200", "", "1585699201.0"], "seconds since 1970"), (["12:15", "1:05 pm"], "of day")]
)
def test_what_is_no_time_at_all_is_refused(texts: list[str], words: str) -> None:
    with pytest.raises(ContractError, match=words):
        sniffed(pickup_datetime=texts)
    # Only the pickup must be one; others may be garbage, row by row.
    assert sniffed(dropoff_datetime=texts)
