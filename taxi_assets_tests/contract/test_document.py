"""The contract as data, as text and as docs/data.md."""

import json

import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.document import DOCS, as_markdown, as_text, contract, document, write_docs

EVERY = pytest.mark.parametrize("dataset", DATASETS.values(), ids=list(DATASETS))


def test_docs_are_not_stale() -> None:
    assert DOCS.read_text(encoding="utf-8") == document(), "run python -m taxi_assets.contract.document"


def test_docs_are_written_where_they_are_read(tmp_path) -> None:
    write_docs(tmp_path / "docs" / "data.md")
    assert (tmp_path / "docs" / "data.md").read_text(encoding="utf-8") == document()


@EVERY
def test_as_data(dataset) -> None:
    found = contract(dataset)
    assert json.loads(json.dumps(found)) == found
    assert [column["name"] for column in found["columns"]] == list(dataset.schema.names)
    assert [rule["name"] for rule in found["rules"]] == list(dataset.rule_names)
    assert [rule["order"] for rule in found["rules"]] == list(range(1, len(dataset.rules) + 1))
    assert [rule["name"] for rule in found["rules"] if not rule["can_be_switched_off"]] == ["unreadable_row"]
    assert [flag["name"] for flag in found["quality_flags"]] == [flag.name for flag in dataset.quality_flags]


def test_a_column_as_data() -> None:
    columns = {column["name"]: column for column in contract(DATASETS["yellow"])["columns"]}
    assert columns["vendor_id"]["codes"] == {"cmt": 1, "vts": 2, "dds": 3}
    assert columns["pickup_datetime"]["aliases"] == ["tpep_pickup_datetime", "trip_pickup_datetime"]
    assert columns["pickup_datetime"]["required"]
    assert columns["cbd_congestion_fee"]["since"] == "2025-01"
    assert columns["pickup_longitude"]["until"] == "2016-06"
    fare = columns["fare_amount"]
    assert [fare[f"{kind}_type"] for kind in ("arrow", "postgres", "bigquery")] == [
        *("double", "double precision", "FLOAT64"),
    ]
    assert fare["unit"] == "USD"


def test_a_bound_that_every_file_keeps_is_not_told() -> None:
    """Green begins in 2013-08, so a column that files have from 2011-01 on has no beginning there."""
    columns = {column["name"]: column for column in contract(DATASETS["green"])["columns"]}
    assert columns["congestion_surcharge"]["since"] is None
    columns = {column["name"]: column for column in contract(DATASETS["yellow"])["columns"]}
    assert columns["congestion_surcharge"]["since"] == "2011-01"


@EVERY
def test_texts_name_every_column_alias_code_rule_and_doubt(dataset) -> None:
    found = contract(dataset)
    texts = as_text(found), as_markdown(found)
    assert texts[1] in document()
    for text in (" ".join(text.split()) for text in texts):
        for column in found["columns"]:
            assert column["name"] in text
            assert column["description"] in text
            assert all(alias in text for alias in column["aliases"])
            assert all(f"{code} = {value}" in text for code, value in column["codes"].items())
        for rule in (*found["rules"], *found["quality_flags"]):
            assert rule["name"] in text
            assert rule["description"] in text


@EVERY
def test_a_row_of_the_markdown_table_has_six_cells(dataset) -> None:
    rows = [line for line in as_markdown(contract(dataset)).splitlines() if line.startswith("|")]
    assert len(rows) == len(dataset.schema.columns) + 2
    assert {line.count("|") for line in rows} == {7}


@EVERY
def test_text_fits_a_terminal(dataset) -> None:
    assert max(map(len, as_text(contract(dataset)).splitlines())) <= 120
