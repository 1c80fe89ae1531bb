"""The arguments of `taxi estimate`."""

from datetime import datetime

import pytest
from click.testing import CliRunner

from taxi_assets.cli.estimate import find_zone, parse_time
from taxi_assets.cli.main import cli
from taxi_assets.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("JFK Airport", 132),
        ("jfk", 132),
        ("JFK Airprot", 132),
        ("times sq", 230),
        ("Times Square/Theatre District", 230),
        ("230", 230),
        ("  LaGuardia   airport ", 138),
        ("Corona", 56),
        ("Astoria P", 8),
    ],
)
def test_names_are_completed_and_corrected(text: str, zone: int):
    assert find_zone(text).id == zone


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("airport", "is a part of 3 zones"),
        ("xyzzy", "is no taxi zone's name"),
        ("", "is no taxi zone's name"),
        ("264", "is no zone with a place"),
        ("0", "is no zone with a place"),
    ],
)
def test_what_is_no_zone_is_refused(text: str, words: str):
    with pytest.raises(SettingsError, match=words):
        find_zone(text)


def test_a_time_is_local_and_has_an_hour():
    assert parse_time("2024-01-15 17:30") == parse_time("2024-01-15T17:30:00") == datetime(2024, 1, 15, 17, 30)
    for text in ("2024-01-15", "17:30", "2024-01-15 25:00", "2024-01-15 17:30+01:00", "tomorrow at noon", ""):
        with pytest.raises(SettingsError, match="is no local time"):
            parse_time(text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--at", "soon"], "'soon' is no local time"),
        (["--at", "2024-01-15 17:30", "--dataset", "blue"], "'blue' is no dataset"),
    ],
)
def test_wrong_arguments_end_in_one_sentence(arguments: list[str], words: str):
    result = CliRunner().invoke(cli, ["estimate", "--from", "JFK", "--to", "Corona", *arguments])
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
