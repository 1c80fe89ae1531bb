"""The sample that a model reads of a month."""

from datetime import date
from pathlib import Path

import pyarrow.parquet as pq

from taxi_assets.models.trips import COLUMNS, read_sample
from taxi_assets_tests.support.trips import month_table

MAY = date(2023, 5, 1)


def test_a_sample_is_bounded_even_and_the_same_each_time(tmp_path: Path):
    path = tmp_path / "kept.parquet"
    pq.write_table(month_table(MAY, 200_000).append_column("other", [[1] * 200_000]), path)
    sample = read_sample(path, MAY, 10_000)
    assert sample.column_names == list(COLUMNS)
    assert abs(sample.num_rows - 10_000) < 500
    assert sample.equals(read_sample(path, MAY, 10_000))
    assert read_sample(path, MAY, 200_000).num_rows == 200_000
