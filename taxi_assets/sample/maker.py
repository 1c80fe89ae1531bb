"""Make the sample files that the source resource requests."""

from datetime import date
from pathlib import Path


class SampleFiles:
    """The sample maker of the source resource. It imports numpy and pyarrow only when a file is made."""

    def file_name(self, dataset: str, month: date) -> str:
        """Return the published name of a month's file."""
        from taxi_assets.sample.files import sample_file_name

        return sample_file_name(dataset, month)

    def fingerprint(self, dataset: str, month: date, rows: int | None) -> str:
        """Return a token that changes whenever the file's bytes would change."""
        from taxi_assets.sample import files

        rows = rows or files.default_rows(dataset, month)
        return files.sample_fingerprint(dataset, month, rows, files.published_format(dataset, month))

    def write(self, dataset: str, month: date, folder: Path, rows: int | None) -> Path:
        """Write a month's file into the folder and return its path."""
        from taxi_assets.sample.files import write_sample

        return write_sample(dataset, month, folder, rows=rows)

    def write_zones(self, folder: Path) -> Path:
        """Write the zone lookup into the folder and return its path."""
        from taxi_assets.sample.zones import write_zone_lookup

        return write_zone_lookup(folder)

    def write_zone_shapes(self, folder: Path) -> Path:
        """Write the zones' packed shapefile into the folder and return its path."""
        from taxi_assets.sample.zones import write_zone_shapes

        return write_zone_shapes(folder)
