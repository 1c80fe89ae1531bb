"""Hundreds of kinds of bad files: each is read with every row accounted for, or refused in one sentence."""

from pathlib import Path

import pytest

from taxi_assets.cleaning.clean_file import clean_file
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.download.file_check import check_file, name_by_content
from taxi_assets.errors import TaxiError
from taxi_assets_tests.support.bad_files import MONTH, bad_files

LONGEST_SENTENCE = 1000


def outcome(path: Path, folder: Path) -> str | None:
    """Return the sentence that the file is refused with on its way through the pipeline, None if it is read."""
    try:
        path = path.rename(path.with_name(name_by_content(path.name, check_file(path))))
        *_, manifest = clean_file(path, DATASETS["green"], MONTH, folder)
    except TaxiError as error:
        return str(error)
    assert manifest.raw_rows == manifest.kept.rows + manifest.rejected_rows
    return None


FILES = list(bad_files())


def test_there_are_hundreds_of_kinds_each_under_a_name_of_its_own():
    assert len({(kind, ending) for kind, ending, _ in FILES}) == len(FILES) >= 200


@pytest.mark.parametrize(("kind", "ending", "data"), FILES, ids=[f"{kind}-{ending}" for kind, ending, _ in FILES])
def test_a_bad_file_is_read_or_refused_in_one_sentence(kind: str, ending: str, data: bytes, tmp_path: Path):
    path = tmp_path / f"green_tripdata_2020-04.{ending}"
    path.write_bytes(data)
    sentence = outcome(path, tmp_path)
    if sentence is not None:
        assert sentence.isprintable(), sentence[:200]
        assert len(sentence) < LONGEST_SENTENCE
        assert sentence.endswith((".", "?"))
