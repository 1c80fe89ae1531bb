"""Names of objects in the lake; a local copy of an object lies under the same name in the cache folder."""

from collections.abc import Mapping
from datetime import date

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.tables import ZONE_AREAS_TABLE, ZONE_PIECES_TABLE, ZONES_TABLE, pairs_table
from taxi_assets.months import month_text

PENDING = "pending/"
# The formats of raw files, by the end of their names.
SUFFIXES = (".csv", ".csv.gz", ".parquet")


def raw_prefix(dataset: str) -> str:
    """Return the prefix of a dataset's raw files; each keeps the name it was published under."""
    return f"raw/{dataset}/"


def clean_object(dataset: str, month: date) -> str:
    """Return the object of a month's kept rows."""
    return f"clean/{dataset}/{dataset}_trips_{month_text(month)}.parquet"


ZONES_OBJECT = "clean/zones/taxi_zones.parquet"
ZONE_SHAPES_OBJECT = "clean/zones/taxi_zones.geojson"
ZONE_AREAS_OBJECT = "clean/zones/zone_areas.parquet"
ZONE_PIECES_OBJECT = "clean/zones/zone_pieces.parquet"


def pairs_object(dataset: str) -> str:
    """Return the object of a dataset's scored pairs of zones."""
    return f"models/{dataset}/pairs.parquet"


# The objects of the tables that are not loaded by month: each is replaced whole.
WHOLE_TABLE_OBJECTS: Mapping[str, str] = {
    ZONES_TABLE: ZONES_OBJECT,
    ZONE_AREAS_TABLE: ZONE_AREAS_OBJECT,
    ZONE_PIECES_TABLE: ZONE_PIECES_OBJECT,
    **{pairs_table(dataset): pairs_object(dataset) for dataset in DATASETS},
}


REPORTS_PREFIX = "reports/"
OVERVIEW_OBJECT = "reports/index.html"
PARTS_PREFIX = "reports/parts/"


def report_object(dataset: str, month: date) -> str:
    """Return the object of a month's page."""
    return f"{REPORTS_PREFIX}{dataset}/{month_text(month)}.html"


def rejected_object(dataset: str, month: date) -> str:
    """Return the object of a month's rejected rows."""
    return f"rejected/{dataset}/{dataset}_rejected_{month_text(month)}.parquet"


def stopped_object(dataset: str, month: date) -> str:
    """Return the object of the rejected rows of a month that a check stopped; the next success removes it."""
    return f"rejected/{dataset}/stopped/{dataset}_rejected_{month_text(month)}.parquet"
