"""`taxi contract` and `taxi inspect` as a user types them."""

import json
from pathlib import Path

import click
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from taxi_assets.cli.contract import contract, inspect
from taxi_assets.cli.main import TaxiGroup
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.document import contract as contract_of

GROUP = TaxiGroup("taxi", commands=[contract, inspect])
RAW = "Dispatching_base_num,Pickup_date,locationID\nB1,2020-04-01 09:00:00,7\ntorn\n"


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(GROUP, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "fhv_tripdata_2020-04.csv"
    path.write_text(RAW)
    return path


@pytest.mark.parametrize("name", list(DATASETS))
def test_contract(name: str) -> None:
    text = run("contract", name)
    assert text.exit_code == 0
    assert text.stdout.startswith(f"{name}: {DATASETS[name].title}\n")
    assert json.loads(run("contract", name, "--json").stdout) == contract_of(DATASETS[name])


def test_contract_of_nothing() -> None:
    result = run("contract", "limo")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "taxi: 'limo' is no dataset; there are yellow, green, fhv, fhvhv.\n"


def test_inspect(raw: Path) -> None:
    text = run("inspect", str(raw))
    assert text.exit_code == 0
    assert text.stdout.startswith("fhv_tripdata_2020-04.csv: fhv 2020-04, csv, 3 columns\n")
    found = json.loads(run("inspect", str(raw), "--json").stdout)
    assert {"dataset", "month", "layout", "rows", "kept", "rejected", "columns"} <= set(found)
    assert (found["rows"], found["kept"], found["rejected"]["unreadable_row"]) == (2, 1, 1)


def test_inspect_writes_the_rejected_rows(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "rejected.parquet"
    shown = run("inspect", str(raw), "--rejected", str(out))
    assert shown.exit_code == 0
    [row] = pq.read_table(out).to_pylist()
    assert (row["row_number"], row["reason"], row["original"]) == (2, "unreadable_row", "torn")
    assert row["cause"] == "a line has 1 field and not 3"
    assert f"1 row: {row['cause']}" in shown.stdout

    refused = run("inspect", str(raw), "--rejected", str(tmp_path / "none" / "x.parquet"))
    assert refused.exit_code == 1
    assert refused.stderr.startswith("taxi: ")
    assert refused.stderr.count("\n") == 1


def test_inspect_with_options(raw: Path) -> None:
    renamed = raw.rename(raw.with_name("x.csv"))
    assert run("inspect", str(renamed)).exit_code == 1
    found = json.loads(run("inspect", str(renamed), "--dataset", "fhv", "--month", "2020-04", "--json").stdout)
    assert (found["dataset"], found["month"], found["kept"]) == ("fhv", "2020-04", 1)


@pytest.mark.parametrize("text", ["", "<html>no</html>", RAW.replace("locationID", "Surprise")])
def test_an_error_is_one_line(raw: Path, text: str) -> None:
    raw.write_text(text)
    result = run("inspect", str(raw))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("taxi: The file ")
    assert result.stderr.count("\n") == 1


def test_they_are_commands_with_help() -> None:
    for command in (contract, inspect):
        assert isinstance(command, click.Command)
        assert run(command.name or "", "--help").exit_code == 0
