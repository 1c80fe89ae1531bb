"""The data contract's columns: one canonical schema per dataset for every month ever published.

Everything else that needs to know columns derives it from here: the Parquet, BigQuery and
PostgreSQL schemas, the aliases that published names are matched by, the code maps, the docs.
To accept a new published column, add a `Column` (or an alias to one) here.

Sources: TLC's data dictionaries and the column names of the files themselves.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

# Raise it whenever the same raw file would come out with other columns, values or rows.
CONTRACT_VERSION = "2"

INTEGER = pa.int32()
WHOLE = pa.int64()
NUMBER = pa.float64()
EXACT = pa.decimal128(38, 9)  # the precision of BigQuery's NUMERIC
BOOLEAN = pa.bool_()
TEXT = pa.string()
TIME = pa.timestamp("us")
DATE = pa.date32()

# Columns that exports add to trips and that carry nothing of them, in lower case: row numbers of pandas and dask, ids
# of databases, of dlt and of Socrata, and the year and month of a file's folder or of BigQuery's and Azure's copies.
IGNORED_COLUMNS = frozenset(
    (
        *("", "id", "index", "year", "month", "__null_dask_index__", "_dlt_id", "_dlt_load_id"),
        *(":id", ":created_at", ":updated_at", ":version"),
        *("puyear", "pumonth", "data_file_year", "data_file_month", "source_month"),
    )
)
IGNORED_PATTERN = re.compile(r"unnamed: \d+(\.\d+)?|level_\d+|__index_level_\d+__")

# Text that stands for no value, in lower case, as pandas, databases and spreadsheets write it.
NULL_WORDS = ("nan", "null", r"\n", "none", "na", "n/a", "<na>", "nat", "#n/a")


@dataclass(frozen=True)
class Column:
    """One canonical column.

    `aliases` are published names in lower case without surrounding spaces, in the order in which
    they win when a file has two of them. `codes` maps published text, lower case, to the canonical
    value; other text that is no number makes the row unreadable in an integer column and is kept
    as it is in a text column. `since` and `until` bound the months whose files can have it.
    """

    name: str
    type: pa.DataType
    description: str
    aliases: tuple[str, ...] = ()
    unit: str | None = None
    codes: Mapping[str, int | str] = field(default_factory=dict)
    since: str | None = None
    until: str | None = None
    required: bool = False

    @property
    def is_money(self) -> bool:
        """Return whether the audit compares this column's sum between the lake and a warehouse."""
        return self.unit == "USD"


@dataclass(frozen=True)
class Schema:
    """The canonical columns of a dataset, in order; the last one is `source_month`.

    The column that the rows are partitioned by is never NULL; small tables have none.
    """

    columns: tuple[Column, ...]
    partition: str | None = "source_month"

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow and Parquet schema; descriptions travel as field metadata."""
        return pa.schema(
            pa.field(c.name, c.type, nullable=c.name != self.partition, metadata={"description": c.description})
            for c in self.columns
        )

    @property
    def published(self) -> tuple[Column, ...]:
        """The columns that come from files: all but `source_month`."""
        return tuple(c for c in self.columns if c.name != self.partition)

    @property
    def names(self) -> tuple[str, ...]:
        """All column names in order."""
        return tuple(c.name for c in self.columns)

    @property
    def money(self) -> tuple[str, ...]:
        """Names of the amounts in US dollars."""
        return tuple(c.name for c in self.columns if c.is_money)

    @property
    def texts(self) -> tuple[str, ...]:
        """Names of the text columns."""
        return tuple(c.name for c in self.columns if c.type == TEXT)

    @property
    def aliases(self) -> dict[str, Column]:
        """Every published name, normalized, with its column."""
        return {alias: c for c in self.published for alias in (c.name, *c.aliases)}

    def column(self, name: str) -> Column:
        """Return the column of that canonical name (KeyError if there is none)."""
        return {c.name: c for c in self.columns}[name]


POSTGRES_TYPES: Mapping[pa.DataType, str] = {
    INTEGER: "integer",
    WHOLE: "bigint",
    NUMBER: "double precision",
    EXACT: "numeric",
    BOOLEAN: "boolean",
    TEXT: "text",
    TIME: "timestamp",
    DATE: "date",
}
BIGQUERY_TYPES: Mapping[pa.DataType, str] = {
    INTEGER: "INT64",
    WHOLE: "INT64",
    NUMBER: "FLOAT64",
    EXACT: "NUMERIC",
    BOOLEAN: "BOOL",
    TEXT: "STRING",
    TIME: "DATETIME",
    DATE: "DATE",
}

VENDOR_CODES = {"cmt": 1, "vts": 2, "dds": 3}
PAYMENT_CODES = {
    **dict.fromkeys(("crd", "cre", "credit"), 1),
    **dict.fromkeys(("csh", "cas", "cash"), 2),
    **dict.fromkeys(("noc", "no", "no charge"), 3),
    **dict.fromkeys(("dis", "dispute"), 4),
    **dict.fromkeys(("unk", "unknown", "na"), 5),
}
# Numbers in the files of 2009 and 2010, truth values in what other programs make of any.
FLAG_CODES = {
    **dict.fromkeys(("0", "0.0", "n", "no", "f", "false"), "N"),
    **dict.fromkeys(("1", "1.0", "y", "yes", "t", "true"), "Y"),
}
SHARED_CODES = {**dict.fromkeys(("n", "no", "f", "false"), 0), **dict.fromkeys(("y", "yes", "t", "true"), 1)}

SOURCE_MONTH = Column(
    "source_month",
    DATE,
    "First day of the month of the file that this row was published in; every reload replaces by it. It is not "
    "the month of the pickup, which can stray.",
    required=True,
)


def _usd(name: str, description: str, aliases: tuple[str, ...] = (), since: str | None = None) -> Column:
    return Column(name, NUMBER, description, aliases, unit="USD", since=since)


def _degrees(name: str, what: str, *aliases: str) -> Column:
    return Column(
        name,
        NUMBER,
        f"{what}, WGS 84, as the meter's GPS gave it; 0 where it had none. Zone ids replace it from 2016-07 on.",
        aliases,
        unit="degrees",
        until="2016-06",
    )


def _zone(end: str, *aliases: str, note: str = "") -> Column:
    return Column(
        f"{end}_location_id",
        INTEGER,
        f"Taxi zone of the {end}, see the table `zones`; 264 is unknown, 265 outside New York City.{note}",
        ({"pickup": "pulocationid", "dropoff": "dolocationid"}[end], *aliases),
    )


def _metered(prefix: str) -> dict[str, Column]:
    """Return the columns that yellow and green share, by name."""
    columns = (
        Column(
            "vendor_id",
            INTEGER,
            "Provider of the record: 1 Creative Mobile Technologies (CMT), 2 Curb, formerly VeriFone (VTS), 3 Digital "
            "Dispatch Systems (DDS, text in 2009 to 2014; the number is this project's), 6 Myle, 7 Helix. The CSV "
            "files leave it empty in rows that the meter did not fill.",
            ("vendorid", "vendor_name"),
            codes=VENDOR_CODES,
        ),
        Column(
            "pickup_datetime",
            TIME,
            "When the meter was engaged, New York wall-clock time.",
            (f"{prefix}_pickup_datetime", "trip_pickup_datetime"),
            required=True,
        ),
        Column(
            "dropoff_datetime",
            TIME,
            "When the meter was disengaged, New York wall-clock time.",
            (f"{prefix}_dropoff_datetime", "trip_dropoff_datetime"),
            required=True,
        ),
        Column("passenger_count", INTEGER, "Passengers as the driver entered them.", unit="persons"),
        Column("trip_distance", NUMBER, "Distance by the taximeter.", unit="miles", required=True),
        Column(
            "rate_code",
            INTEGER,
            "Rate at the end of the trip: 1 standard, 2 JFK, 3 Newark, 4 Nassau or Westchester, 5 negotiated, "
            "6 group ride, 99 unknown.",
            ("ratecodeid",),
        ),
        Column(
            "store_and_fwd_flag",
            TEXT,
            "Y when the record was held in the vehicle before it was sent, for want of a connection; N otherwise. "
            "0 and 1 in the files of 2009 and 2010 read as N and Y, and so do truth values.",
            ("store_and_forward",),
            codes=FLAG_CODES,
        ),
        _zone("pickup", note=" NULL in files that have coordinates instead."),
        _zone("dropoff", note=" NULL in files that have coordinates instead."),
        _degrees("pickup_longitude", "Longitude of the pickup", "start_lon"),
        _degrees("pickup_latitude", "Latitude of the pickup", "start_lat"),
        _degrees("dropoff_longitude", "Longitude of the dropoff", "end_lon"),
        _degrees("dropoff_latitude", "Latitude of the dropoff", "end_lat"),
        Column(
            "payment_type",
            INTEGER,
            "How the passenger paid: 0 flex fare, 1 credit card, 2 cash, 3 no charge, 4 dispute, 5 unknown, 6 voided. "
            "The text codes of 2009 to 2014 (Cash, CRE, NOC ...) read as these.",
            codes=PAYMENT_CODES,
        ),
        _usd("fare_amount", "Time-and-distance fare by the meter; negative in refunds.", ("fare_amt",)),
        _usd("extra", "Surcharges for rush hour and night, and others by name of the era.", ("surcharge",)),
        _usd("mta_tax", "Tax of the Metropolitan Transportation Authority."),
        _usd("tip_amount", "Tip; cash tips are not recorded.", ("tip_amt",)),
        _usd("tolls_amount", "All tolls of the trip.", ("tolls_amt",)),
        _usd("ehail_fee", "Fee for hailing electronically; empty in every file so far."),
        # TLC's Parquet files have the surcharges' columns back to 2011, long before they were charged.
        _usd(
            "improvement_surcharge",
            "Flat surcharge per trip; in CSV files from 2015-01 on.",
            ("imp_surcharge",),
            since="2011-01",
        ),
        _usd("total_amount", "Total charged, without cash tips.", ("total_amt",)),
        Column("trip_type", INTEGER, "How the trip began: 1 street hail, 2 dispatch."),
        _usd(
            "congestion_surcharge",
            "New York State's congestion surcharge; in CSV files from 2019-01 on.",
            since="2011-01",
        ),
        _usd("airport_fee", "Fee for pickups at LaGuardia and JFK.", since="2011-01"),
        _usd("cbd_congestion_fee", "MTA's congestion relief zone charge.", since="2025-01"),
    )
    return {c.name: c for c in columns}


def _schema(columns: Mapping[str, Column], *without: str) -> Schema:
    return Schema((*(c for name, c in columns.items() if name not in without), SOURCE_MONTH))


YELLOW = _schema(_metered("tpep"), "ehail_fee", "trip_type")
GREEN = _schema(_metered("lpep"), "airport_fee")

_DISPATCHING_BASE = Column(
    "dispatching_base_num",
    TEXT,
    "TLC licence of the base that dispatched the trip.",
    # The files of 2018 have both; the second is filled there and the first empty.
    ("dispatching_base_number", "dispatch_base_num"),
)
_SHARED_RIDE = Column(
    "sr_flag",
    INTEGER,
    "1 when the trip was part of a shared ride; empty otherwise. In CSV files from 2017-07 on.",
    codes=SHARED_CODES,
)

FHV = Schema(
    (
        _DISPATCHING_BASE,
        Column(
            "pickup_datetime", TIME, "When the trip began, New York wall-clock time.", ("pickup_date",), required=True
        ),
        Column(
            "dropoff_datetime",
            TIME,
            "When the trip ended, New York wall-clock time; NULL where the base did not report it, in all of 2015 and "
            "2016 and in many rows after.",
        ),
        # Until 2016 the only zone is the pickup's.
        _zone("pickup", "locationid"),
        _zone("dropoff"),
        _SHARED_RIDE,
        Column("affiliated_base_number", TEXT, "TLC licence of the base that the vehicle is affiliated with."),
        SOURCE_MONTH,
    )
)


def _flag(name: str, description: str) -> Column:
    return Column(name, TEXT, f"{description}: Y or N; NULL where the file has a blank.", codes=FLAG_CODES)


FHVHV = Schema(
    (
        Column(
            "hvfhs_license_num",
            TEXT,
            "High-volume licence: HV0002 Juno, HV0003 Uber, HV0004 Via, HV0005 Lyft.",
            required=True,
        ),
        _DISPATCHING_BASE,
        Column("originating_base_num", TEXT, "TLC licence of the base that received the request."),
        Column("request_datetime", TIME, "When the passenger asked, New York wall-clock time."),
        Column("on_scene_datetime", TIME, "When the driver arrived (accessible vehicles), New York wall-clock time."),
        Column("pickup_datetime", TIME, "When the trip began, New York wall-clock time.", required=True),
        Column("dropoff_datetime", TIME, "When the trip ended, New York wall-clock time.", required=True),
        _zone("pickup"),
        _zone("dropoff"),
        Column("trip_miles", NUMBER, "Distance with the passenger.", unit="miles"),
        Column("trip_time", INTEGER, "Time with the passenger.", unit="seconds"),
        _usd("base_passenger_fare", "Fare before tolls, tips, taxes and fees; negative in corrections."),
        _usd("tolls", "All tolls of the trip."),
        _usd("bcf", "Black Car Fund contribution."),
        _usd("sales_tax", "New York State sales tax."),
        _usd("congestion_surcharge", "New York State's congestion surcharge."),
        _usd("airport_fee", "Fee for pickups and dropoffs at LaGuardia, Newark and JFK."),
        _usd("tips", "Tips."),
        _usd("driver_pay", "What the driver was paid, without tolls and tips."),
        _flag("shared_request_flag", "Passenger agreed to share"),
        _flag("shared_match_flag", "Passenger did share"),
        _flag("access_a_ride_flag", "Trip on behalf of the MTA's Access-A-Ride"),
        _flag("wav_request_flag", "Passenger asked for a wheelchair-accessible vehicle"),
        _flag("wav_match_flag", "Trip was in a wheelchair-accessible vehicle"),
        _usd("cbd_congestion_fee", "MTA's congestion relief zone charge.", since="2025-01"),
        _SHARED_RIDE,
        SOURCE_MONTH,
    )
)

# One row for each raw row that a rule rejected, the same for all datasets.
REJECTED_SCHEMA = pa.schema(
    [
        pa.field("source_month", pa.date32(), nullable=False),
        pa.field(
            "row_number", pa.int64(), nullable=False, metadata={"description": "Position in the raw file, from 1."}
        ),
        pa.field("reason", pa.string(), nullable=False, metadata={"description": "The first rule that it broke."}),
        pa.field(
            "original",
            pa.string(),
            metadata={"description": "The row as published: its line of text, or its values as JSON."},
        ),
        pa.field(
            "cause",
            pa.string(),
            metadata={"description": "For `unreadable_row`: the column, its value and what it is not; else NULL."},
        ),
    ]
)
