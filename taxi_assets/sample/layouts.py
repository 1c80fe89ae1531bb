"""How TLC laid out its files, month by month: the tables the sample source writes by, and nothing that makes rows.

A layout names the published columns and, in the same order, the fields of a sample row that fill them. A field that a
sample row does not have (`-`) is empty in every row. New layouts go at the end of their table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa


@dataclass(frozen=True)
class CsvLayout:
    """A CSV as published from `since` on; `header` and `fields` correspond, `styles` replaces a field's usual style."""

    since: date
    header: str
    fields: tuple[str, ...]
    header_end: str = "\r\n"  # the header's line end and the blank lines after it
    row_end: str = "\r\n"  # with the surplus commas, where rows have them
    quoted: bool = False
    styles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ParquetLayout:
    """A Parquet file as published from `since` on: names, fields, types in order."""

    since: date
    names: tuple[str, ...]
    fields: tuple[str, ...]
    types: tuple[pa.DataType, ...]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the file."""
        return pa.schema(list(zip(self.names, self.types, strict=True)))


# --- CSV -------------------------------------------------------------------------------------------------------------

_BLANK = "\n\r\n"  # a header that ends in LF, then a blank CRLF line
_TWO_COMMAS = ",,\r\n"

_YELLOW_TEXT = {  # the years in which money and distance went through a binary double on their way to text
    "distance": "miles_17",
    **dict.fromkeys(("pickup_lon", "dropoff_lon"), "lon_17"),
    **dict.fromkeys(("pickup_lat", "dropoff_lat"), "lat_17"),
    **dict.fromkeys(("fare", "extra", "mta", "tip", "tolls", "total"), "cents_17"),
}
_YELLOW_2009 = (
    "vendor_name,Trip_Pickup_DateTime,Trip_Dropoff_DateTime,Passenger_Count,Trip_Distance,Start_Lon,Start_Lat,"
    "Rate_Code,store_and_forward,End_Lon,End_Lat,Payment_Type,Fare_Amt,surcharge,mta_tax,Tip_Amt,Tolls_Amt,Total_Amt"
)
_YELLOW_2010 = (
    "vendor_id,pickup_datetime,dropoff_datetime,passenger_count,trip_distance,pickup_longitude,pickup_latitude,"
    "rate_code,store_and_fwd_flag,dropoff_longitude,dropoff_latitude,payment_type,fare_amount,surcharge,mta_tax,"
    "tip_amount,tolls_amount,total_amount"
)
_YELLOW_2015 = (
    "VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,pickup_longitude,"
    "pickup_latitude,RateCodeID,store_and_fwd_flag,dropoff_longitude,dropoff_latitude,payment_type,fare_amount,extra,"
    "mta_tax,tip_amount,tolls_amount,improvement_surcharge,total_amount"
)
_YELLOW_ZONES = (
    "VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,RatecodeID,store_and_fwd_flag,"
    "PULocationID,DOLocationID,payment_type,fare_amount,extra,mta_tax,tip_amount,tolls_amount,improvement_surcharge,"
    "total_amount"
)
_GREEN_2013 = (
    "VendorID,lpep_pickup_datetime,Lpep_dropoff_datetime,Store_and_fwd_flag,RateCodeID,Pickup_longitude,"
    "Pickup_latitude,Dropoff_longitude,Dropoff_latitude,Passenger_count,Trip_distance,Fare_amount,Extra,MTA_tax,"
    "Tip_amount,Tolls_amount,Ehail_fee,Total_amount,Payment_type,Trip_type "
)
_GREEN_2015 = _GREEN_2013.replace(",Total_amount", ",improvement_surcharge,Total_amount")
_GREEN_ZONES = (
    "VendorID,lpep_pickup_datetime,lpep_dropoff_datetime,store_and_fwd_flag,RatecodeID,PULocationID,DOLocationID,"
    "passenger_count,trip_distance,fare_amount,extra,mta_tax,tip_amount,tolls_amount,ehail_fee,"
    "improvement_surcharge,total_amount,payment_type,trip_type"
)
_FHV_2017 = "Dispatching_base_num,Pickup_DateTime,DropOff_datetime,PUlocationID,DOlocationID"
_FHV_2018 = (
    "Pickup_DateTime,DropOff_datetime,PUlocationID,DOlocationID,SR_Flag,Dispatching_base_number,Dispatching_base_num"
)
_FHV_2019 = "dispatching_base_num,pickup_datetime,dropoff_datetime,PULocationID,DOLocationID,SR_Flag"


def _fields(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_Y_2009 = _fields(
    "vendor_text pickup dropoff passengers distance pickup_lon pickup_lat rate flag dropoff_lon dropoff_lat "
    "payment_text fare extra mta tip tolls total"
)
_Y_2015 = (*(name.removesuffix("_text") for name in _Y_2009[:-1]), "improvement", "total")
_Y_ZONES = _fields(
    "vendor pickup dropoff passengers distance rate flag pu do payment fare extra mta tip tolls improvement total"
)
_G_2013 = _fields(
    "vendor pickup dropoff flag rate pickup_lon pickup_lat dropoff_lon dropoff_lat passengers distance fare extra "
    "mta tip tolls - total payment trip_type"
)
_G_2015 = (*_G_2013[:-3], "improvement", *_G_2013[-3:])
_G_ZONES = _fields(
    "vendor pickup dropoff flag rate pu do passengers distance fare extra mta tip tolls - improvement total payment "
    "trip_type"
)
_F_2017 = _fields("base pickup dropoff pu do")

CSV_LAYOUTS: Mapping[str, tuple[CsvLayout, ...]] = {
    "yellow": (
        CsvLayout(date(2009, 1, 1), _YELLOW_2009, _Y_2009, _BLANK, styles=_YELLOW_TEXT),
        CsvLayout(date(2010, 1, 1), _YELLOW_2010, _Y_2009, _BLANK, styles=_YELLOW_TEXT),
        CsvLayout(date(2014, 1, 1), _YELLOW_2010.replace(",", ", "), _Y_2009, _BLANK, styles=_YELLOW_TEXT),
        CsvLayout(date(2015, 1, 1), _YELLOW_2015, _Y_2015),
        CsvLayout(date(2015, 7, 1), _YELLOW_2015.replace("RateCodeID", "RatecodeID"), _Y_2015),
        CsvLayout(date(2016, 7, 1), _YELLOW_ZONES, _Y_ZONES, row_end=_TWO_COMMAS),
        CsvLayout(date(2017, 1, 1), _YELLOW_ZONES, _Y_ZONES, _BLANK),
        CsvLayout(date(2019, 1, 1), _YELLOW_ZONES + ",congestion_surcharge", (*_Y_ZONES, "congestion")),
    ),
    "green": (
        CsvLayout(date(2013, 8, 1), _GREEN_2013, _G_2013, _BLANK, _TWO_COMMAS),
        # The last month of 2014 has two blank lines, LF and CRLF; which months before it do is not known.
        CsvLayout(date(2014, 12, 1), _GREEN_2013, _G_2013, "\n\n\r\n", _TWO_COMMAS),
        CsvLayout(date(2015, 1, 1), _GREEN_2015, _G_2015, row_end=_TWO_COMMAS),
        CsvLayout(date(2015, 7, 1), _GREEN_2015, _G_2015),
        CsvLayout(date(2016, 1, 1), _GREEN_2015, _G_2015, _BLANK),
        CsvLayout(date(2016, 7, 1), _GREEN_ZONES, _G_ZONES, _BLANK, _TWO_COMMAS),
        CsvLayout(date(2017, 1, 1), _GREEN_ZONES, _G_ZONES, _BLANK),
        CsvLayout(date(2019, 1, 1), _GREEN_ZONES + ",congestion_surcharge", (*_G_ZONES, "congestion")),
    ),
    "fhv": (
        CsvLayout(date(2015, 1, 1), "Dispatching_base_num,Pickup_date,locationID", _fields("base pickup pu")),
        CsvLayout(date(2017, 1, 1), _FHV_2017, _F_2017),
        CsvLayout(date(2017, 7, 1), _FHV_2017 + ",SR_Flag", (*_F_2017, "shared"), quoted=True),
        CsvLayout(date(2018, 1, 1), _FHV_2018, _fields("pickup dropoff pu do shared base -"), quoted=True),
        CsvLayout(date(2019, 1, 1), _FHV_2019, (*_F_2017, "-")),
    ),
    "fhvhv": (CsvLayout(date(2019, 2, 1), f"hvfhs_license_num,{_FHV_2019}", ("license", *_F_2017, "shared")),),
}

# --- Parquet ---------------------------------------------------------------------------------------------------------

_ID, _CODE, _TEXT, _EHAIL, _INDEX = "id", "code", "text", "ehail", "index"
_OLD_TYPES: Mapping[str, pa.DataType] = {
    _ID: pa.int64(),
    _CODE: pa.float64(),
    _TEXT: pa.string(),
    _EHAIL: pa.null(),
}
_NEW_TYPES: Mapping[str, pa.DataType] = {
    _ID: pa.int32(),
    _CODE: pa.int64(),
    _TEXT: pa.large_string(),
    _EHAIL: pa.float64(),
}
# What a field is, where it is not money, miles or degrees (all double): a type, or a kind whose type changed in 2023.
_KINDS: Mapping[str, pa.DataType | str] = {
    **dict.fromkeys(("vendor", "pu", "do"), _ID),
    **dict.fromkeys(("passengers", "rate", "payment", "trip_type"), _CODE),
    **dict.fromkeys(("vendor_text", "payment_text"), _TEXT),
    **dict.fromkeys(("flag", "base", "license", "affiliated", "originating"), _TEXT),
    **dict.fromkeys(("shared_request", "shared_match", "access_a_ride", "wav_request", "wav_match"), _TEXT),
    **dict.fromkeys(("request", "on_scene", "pickup", "dropoff"), pa.timestamp("us")),
    "ehail": _EHAIL,
    "shared": pa.int32(),
    "trip_time": pa.int64(),
    "index": pa.int64(),
}


def _parquet(
    since: date,
    names: str,
    fields: tuple[str, ...],
    *,
    new: bool = False,
    fixed: Mapping[str, pa.DataType] | None = None,
) -> ParquetLayout:
    types = []
    for name in fields:
        kind = (fixed or {}).get(name) or _KINDS.get(name, pa.float64())
        types.append((_NEW_TYPES if new else _OLD_TYPES)[kind] if isinstance(kind, str) else kind)
    return ParquetLayout(since, tuple(names.split(",")), fields, tuple(types))


_PY_2011 = (*_Y_ZONES, "congestion", "airport")
_PY_NAMES = _YELLOW_ZONES + ",congestion_surcharge,airport_fee"
_PG = tuple("ehail" if name == "-" else name for name in (*_G_ZONES, "congestion"))
_PG_NAMES = _GREEN_ZONES + ",congestion_surcharge"
_PF = _fields("base pickup dropoff pu do shared affiliated")
_PF_NAMES = (
    "dispatching_base_num,pickup_datetime,dropOff_datetime,PUlocationID,DOlocationID,SR_Flag,Affiliated_base_number"
)
_PH = _fields(
    "license base originating request on_scene pickup dropoff pu do trip_miles trip_time base_fare tolls bcf "
    "sales_tax congestion airport tip driver_pay shared_request shared_match access_a_ride wav_request wav_match"
)
_PH_NAMES = (
    "hvfhs_license_num,dispatching_base_num,originating_base_num,request_datetime,on_scene_datetime,pickup_datetime,"
    "dropoff_datetime,PULocationID,DOLocationID,trip_miles,trip_time,base_passenger_fare,tolls,bcf,sales_tax,"
    "congestion_surcharge,airport_fee,tips,driver_pay,shared_request_flag,shared_match_flag,access_a_ride_flag,"
    "wav_request_flag,wav_match_flag"
)
_LONG = {"payment": pa.int64()}  # yellow has no null here: 0 stands for it
_FHV_IDS = {"pu": pa.float64(), "do": pa.float64()}  # mostly null, hence doubles
_B = date(2023, 2, 1)
_C = date(2025, 1, 1)

PARQUET_LAYOUTS: Mapping[str, tuple[ParquetLayout, ...]] = {
    "yellow": (
        _parquet(date(2009, 1, 1), _YELLOW_2009, _Y_2009),
        _parquet(date(2010, 1, 1), _YELLOW_2010, _Y_2009),
        _parquet(date(2010, 2, 1), _YELLOW_2010 + ",__index_level_0__", (*_Y_2009, "index")),
        _parquet(date(2010, 4, 1), _YELLOW_2010, _Y_2009),
        _parquet(date(2011, 1, 1), _PY_NAMES, _PY_2011, fixed=_LONG),
        _parquet(_B, _PY_NAMES.replace(",airport_fee", ",Airport_fee"), _PY_2011, new=True, fixed=_LONG),
        _parquet(
            _C,
            _PY_NAMES.replace(",airport_fee", ",Airport_fee") + ",cbd_congestion_fee",
            (*_PY_2011, "cbd"),
            new=True,
            fixed=_LONG,
        ),
    ),
    "green": (
        _parquet(date(2013, 8, 1), _PG_NAMES, _PG),
        _parquet(_B, _PG_NAMES, _PG, new=True),
        _parquet(_C, _PG_NAMES + ",cbd_congestion_fee", (*_PG, "cbd"), new=True),
    ),
    "fhv": (
        _parquet(date(2015, 1, 1), _PF_NAMES, _PF, fixed=_FHV_IDS),
        _parquet(_B, _PF_NAMES, _PF, new=True, fixed=_FHV_IDS),
    ),
    "fhvhv": (
        _parquet(date(2019, 2, 1), _PH_NAMES, _PH),
        _parquet(_B, _PH_NAMES, _PH, new=True),
        _parquet(_C, _PH_NAMES + ",cbd_congestion_fee", (*_PH, "cbd"), new=True),
    ),
}


def csv_layout(dataset: str, month: date) -> CsvLayout:
    """Return the CSV layout in force in a month; after 2021-07, when the CSVs end, the last one."""
    return [layout for layout in CSV_LAYOUTS[dataset] if layout.since <= month][-1]


def parquet_layout(dataset: str, month: date) -> ParquetLayout:
    """Return the Parquet layout in force in a month."""
    return [layout for layout in PARQUET_LAYOUTS[dataset] if layout.since <= month][-1]
