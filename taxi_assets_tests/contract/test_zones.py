"""The zone lookup's reader, as far as no warehouse is needed for it."""

from pathlib import Path

import pytest

from taxi_assets.contract.zones import MAX_BYTES, read_zones
from taxi_assets.errors import ContractError


def test_a_lookup_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "taxi_zone_lookup.csv"
    path.write_bytes(b"x" * (MAX_BYTES + 1))
    with pytest.raises(ContractError, match=f"has {MAX_BYTES + 1} bytes where a zone lookup of at most {MAX_BYTES}"):
        read_zones(path)
