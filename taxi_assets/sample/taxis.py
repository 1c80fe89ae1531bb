"""Makes the sample source's yellow and green trips: fares by the rules of the time, and the dirt of the meters.

Refunds are negative twins, and from 2020-03 on the file ends in rows whose passenger count, rate code, flag, payment
and trip type are null together. No two rows are equal: times, zones and cents make that all but impossible.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np

from taxi_assets.sample.draws import (
    DIRT,
    MIN_ROWS_FOR_DIRT,
    Block,
    Bools,
    Ints,
    chance,
    dirty_rows,
    epoch,
    lognormal,
    normal,
    pick,
    pickups,
    progress_of,
    spoil_times,
    spoil_zones,
    weighted,
)
from taxi_assets.sample.zones import AIRPORT, CBD, CONGESTED, JFK, positions, zone_table

VENDOR_TEXTS = ("", "CMT", "VTS", "DDS")
# How payment types 0 to 4 were written from a year on, by each vendor of `VENDOR_TEXTS`.
_PAYMENT_SPELLINGS = (
    (
        2009,
        (
            ("CASH", "Cash", "CASH", "CASH"),
            ("Credit", "Credit", "Credit", "CREDIT"),
            ("CASH", "Cash", "CASH", "CASH"),
            ("No Charge",) * 4,
            ("Dispute",) * 4,
        ),
    ),
    (2010, tuple((text,) * 4 for text in ("CAS", "CRE", "CAS", "NOC", "DIS"))),
    (2011, tuple((text,) * 4 for text in ("UNK", "CRD", "CSH", "NOC", "DIS"))),
)
PAYMENT_TEXTS = tuple(sorted({text for _, rows in _PAYMENT_SPELLINGS for texts in rows for text in texts}))
FLAG_TEXTS = ("N", "Y", " ")


@dataclass(frozen=True)
class Tariff:
    """The taxi fare rules from `since` on, in cents; `unit` is paid per fifth of a mile and per minute of standing."""

    since: date
    base: int = 250
    unit: int = 50
    jfk: int = 5200
    mta: int = 50
    night: int = 50
    rush: int = 100
    improvement: int = 30
    congestion: bool = True
    airport: int = 0
    cbd: int = 0
    toll: int = 612


_TARIFFS = (
    Tariff(date(2009, 1, 1), unit=40, jfk=4500, mta=0, improvement=0, congestion=False, toll=415),
    Tariff(date(2009, 11, 1), unit=40, jfk=4500, improvement=0, congestion=False, toll=457),
    Tariff(date(2011, 1, 1), unit=40, jfk=4500, improvement=0, congestion=False, toll=480),
    Tariff(date(2012, 9, 1), improvement=0, congestion=False, toll=533),
    Tariff(date(2015, 1, 1), congestion=False, toll=554),
    Tariff(date(2017, 4, 1), congestion=False, toll=576),
    Tariff(date(2019, 2, 1)),
    Tariff(date(2021, 4, 1), toll=655),
    Tariff(date(2022, 1, 1), airport=125, toll=655),
    Tariff(date(2023, 1, 1), 300, 70, 7000, night=100, rush=250, improvement=100, airport=175, toll=655),
    Tariff(date(2023, 8, 1), 300, 70, 7000, night=100, rush=250, improvement=100, airport=175, toll=694),
    Tariff(date(2025, 1, 1), 300, 70, 7000, night=100, rush=250, improvement=100, airport=175, cbd=75, toll=694),
)

# Share of the rows at the file's end whose passenger count, rate code, flag, payment and trip type are null together.
_NULL_SHARES = (  # from, green, yellow
    (date(2009, 1, 1), 0.0, 0.0),
    (date(2020, 3, 1), 0.21, 0.04),
    (date(2020, 4, 1), 0.31, 0.09),
    (date(2020, 5, 1), 0.44, 0.09),
    (date(2021, 1, 1), 0.47, 0.07),
    (date(2021, 6, 1), 0.35, 0.05),
    (date(2022, 1, 1), 0.11, 0.035),
    (date(2023, 1, 1), 0.07, 0.03),
    (date(2024, 1, 1), 0.05, 0.06),
    (date(2025, 1, 1), 0.11, 0.14),
)
_CARD_SHARES = ((2009, 0.24), (2010, 0.38), (2012, 0.5), (2014, 0.58), (2016, 0.66), (2019, 0.72), (2022, 0.78))

_PASSENGERS = weighted({1: 720, 2: 140, 3: 40, 4: 20, 5: 45, 6: 30})

# The faults that only a taxi's meter makes, as in `DIRT`: share of rows, least number.
_METERED_DIRT = {
    "refund": (0.0025, 3),
    "rate_99": (0.0001, 1),
    "no_passenger": (0.008, 4),
    "crowd": (0.0002, 1),
    "no_distance": (0.02, 4),
    "absurd_distance": (0.0002, 1),
    "free": (0.0015, 1),
}
_SHADOW_MONTHS = (date(2020, 3, 1), date(2020, 12, 1))


def tariff_of(month: date) -> Tariff:
    """Return the fare rules of a month."""
    return [tariff for tariff in _TARIFFS if tariff.since <= month][-1]


def _null_share(dataset: str, month: date) -> float:
    _, green, yellow = [row for row in _NULL_SHARES if row[0] <= month][-1]
    return green if dataset == "green" else yellow


_REFUNDED = ("fare", "extra", "mta", "tip", "tolls", "improvement", "congestion", "airport", "cbd")
_NULL_BLOCK = ("passengers", "rate", "flag", "payment", "trip_type", "congestion", "airport")


def taxi_block(rng: np.random.Generator, dataset: str, month: date, first: int, count: int, rows: int) -> Block:
    """Return rows `first` to `first + count` of a yellow or green file of `rows` rows."""
    green = dataset == "green"
    tariff = tariff_of(month)
    progress, null_row = progress_of(_null_share(dataset, month), first, count, rows)
    pickup = pickups(rng, month, progress)
    pu = pick(rng, zone_table(4 if green else 3, 0.05), count)
    do = pick(rng, zone_table(4 if green else 3, 0.25), count)
    airport_trip = AIRPORT[pu] | AIRPORT[do]

    vendor = 1 + chance(rng, 0.82 if green else 0.6, count).astype(np.int64)
    if dataset == "yellow" and month.year <= 2010:
        vendor[chance(rng, 0.08, count)] = 3
    if month >= date(2025, 10, 1):
        vendor[chance(rng, 0.07, count)] = 6
    vendor[null_row] = 2

    distance = pick(rng, lognormal(185 if green else 165, 0.8), count) + rng.integers(0, 9, count)
    distance[null_row] = distance[null_row] * 5 // 2
    distance[airport_trip] += 700 + pick(rng, lognormal(250, 0.6), int(airport_trip.sum()))
    distance[vendor == 1] = (distance[vendor == 1] + 5) // 10 * 10
    tenth_mph = pick(rng, lognormal(112, 0.3), count) + distance // 12
    seconds = 20 + distance * 360 // tenth_mph + rng.integers(0, 60, count)

    dirt = dirty_rows(
        rng, _dirt_of(dataset, month), count - int(null_row.sum()), first == 0 and rows >= MIN_ROWS_FOR_DIRT
    )
    distance[dirt["no_distance"]] = 0
    seconds[dirt["no_distance"]] = rng.integers(2, 400, len(dirt["no_distance"]))

    # The metered fare, the airport's flat fare, the fare agreed on.
    standing = seconds // 240
    fare = tariff.base + tariff.unit * ((distance + 19) // 20 + np.maximum(standing, 0))
    rate = np.ones(count, dtype=np.int64)
    to_jfk = ((pu == JFK) & CONGESTED[do]) | ((do == JFK) & CONGESTED[pu])
    rate[to_jfk] = 2
    fare[to_jfk] = tariff.jfk
    agreed = chance(rng, 0.03 if green else 0.004, count)
    rate[agreed] = 5
    fare[agreed] = 1000 + rng.integers(0, 90, int(agreed.sum())) * 50 + distance[agreed]
    fare[null_row] = 450 + distance[null_row] * 3 + rng.integers(0, 900, int(null_row.sum()))
    fare[dirt["free"]] = 0
    rate[dirt["rate_99"]] = 99
    distance[dirt["absurd_distance"]] = rng.integers(10_100, 16_000_000, len(dirt["absurd_distance"]))

    spoil_times(rng, month, dirt, pickup, seconds)
    spoil_zones(rng, dirt, pu, do)
    # Null rows come from an app that records minutes; so does one vendor's meter up to 2014.
    by_minute = null_row | ((vendor == 2) if month.year < 2015 and not green else False)
    pickup[by_minute] -= pickup[by_minute] % 60
    seconds[by_minute] -= seconds[by_minute] % 60

    hour = pickup % 86_400 // 3600
    weekday = (pickup // 86_400 + 3) % 7  # 1970-01-01 was a Thursday
    rush = (weekday < 5) & (hour >= 16) & (hour < 20)
    metered = (rate == 1) & ~null_row
    extra = np.where(rush, tariff.rush, np.where((hour >= 20) | (hour < 6), tariff.night, 0)) * metered
    mta = np.where((rate == 5) | (null_row if month.year < 2023 else False), 0, tariff.mta)
    tolls = np.where((airport_trip & chance(rng, 0.5, count)) | chance(rng, 0.015, count), tariff.toll, 0)
    improvement = np.full(count, tariff.improvement, dtype=np.int64)
    zero = np.zeros(count, dtype=np.int64)
    in_core = CONGESTED[pu] | CONGESTED[do]
    congestion = np.where(in_core & ~null_row, 275 if green else 250, 0) if tariff.congestion else zero
    # LaGuardia's and Kennedy's fee falls on yellow pickups, the toll zone's on all taxis since 2025-01-05.
    airport = np.where(AIRPORT[pu] & ~null_row, 0 if green else tariff.airport, 0)
    cbd = np.where((CBD[pu] | CBD[do]) & (pickup >= epoch(date(2025, 1, 5))), tariff.cbd, 0)

    payment = _payments(rng, dataset, month, count)
    payment[null_row] = 0
    percent = rng.integers(8, 31, count)
    before_tip = fare + extra + mta + tolls + improvement + congestion
    tip = np.where(percent < 27, before_tip * percent // 100, (percent - 26) * 100)
    tip = np.where((payment == 1) & (percent > 9), tip, 0)
    if date(2020, 3, 1) <= month < date(2022, 1, 1):  # the app's congestion surcharge was published as a tip
        tip[null_row] = np.where(chance(rng, 0.6, int(null_row.sum())), 275, 0)

    passengers = pick(rng, _PASSENGERS, count)
    passengers[dirt["no_passenger"]] = 0
    passengers[dirt["crowd"]] = rng.integers(7, 10, len(dirt["crowd"]))

    zone_lon, zone_lat = positions()
    values: dict[str, Ints] = {
        "index": np.arange(first, first + count, dtype=np.int64),
        "vendor": vendor,
        "pickup": pickup,
        "dropoff": pickup + seconds,
        "passengers": passengers,
        "distance": distance,
        "rate": rate,
        "flag": chance(rng, 0.012, count).astype(np.int64),
        "pu": pu,
        "do": do,
        "pickup_lon": zone_lon[pu] + pick(rng, normal(4_000), count),
        "pickup_lat": zone_lat[pu] + pick(rng, normal(3_500), count),
        "dropoff_lon": zone_lon[do] + pick(rng, normal(4_500), count),
        "dropoff_lat": zone_lat[do] + pick(rng, normal(4_500), count),
        "payment": payment,
        "fare": fare,
        "extra": extra,
        "mta": mta,
        "tip": tip,
        "tolls": tolls,
        "improvement": improvement,
        "trip_type": np.where(rate == 5, 2, 1),
        "congestion": congestion,
        "airport": airport,
        "cbd": cbd,
    }
    if "no_position" in dirt:
        for name in ("pickup_lon", "pickup_lat", "dropoff_lon", "dropoff_lat"):
            values[name][dirt["no_position"]] = 0
    _add_refunds(values, dirt["refund"])
    values["total"] = np.sum([values[name] for name in _REFUNDED], axis=0)
    block = Block(values, {}, {})
    _add_nulls(block, dataset, month, null_row, dirt)
    values["vendor_text"] = vendor
    values["payment_text"] = _payment_texts(month, vendor, values["payment"])
    return block


def _dirt_of(dataset: str, month: date) -> dict[str, tuple[float, int]]:
    kinds = DIRT | _METERED_DIRT
    if dataset == "green":
        kinds |= {"no_distance": (0.045, 4), "absurd_distance": (0.0006, 1)}
    if _SHADOW_MONTHS[0] <= month <= _SHADOW_MONTHS[1]:
        kinds["shadow"] = (0.0006, 2)
    if month < date(2016, 7, 1):
        kinds["no_position"] = (0.04 if dataset == "green" else 0.015, 3)
    return kinds


def _payments(rng: np.random.Generator, dataset: str, month: date, count: int) -> Ints:
    card = [share for year, share in _CARD_SHARES if year <= month.year][-1] - (0.15 if dataset == "green" else 0)
    return pick(rng, weighted({1: card, 2: 0.986 - card, 3: 0.009, 4: 0.005}), count)


def _payment_texts(month: date, vendor: Ints, payment: Ints) -> Ints:
    """Return the codes of `PAYMENT_TEXTS` for payment types 0 to 4."""
    spellings = [row for row in _PAYMENT_SPELLINGS if row[0] <= month.year][-1][1]
    codes = np.array([[PAYMENT_TEXTS.index(text) for text in by_vendor] for by_vendor in spellings], dtype=np.int64)
    return codes[payment, np.minimum(vendor, 3)]


def _add_refunds(values: dict[str, Ints], rows: Ints) -> None:
    """Make each of these rows a cash fare that the row after it takes back."""
    values["tip"][rows] = 0
    values["payment"][rows] = 2
    values["fare"][rows] += 250 * (values["fare"][rows] == 0)
    for column in values.values():
        column[rows + 1] = column[rows]
    values["index"][rows + 1] += 1
    values["payment"][rows + 1] = 3 + (rows // 2) % 2
    for name in _REFUNDED:
        values[name][rows + 1] *= -1


def _add_nulls(block: Block, dataset: str, month: date, null_row: Bools, dirt: dict[str, Ints]) -> None:
    values, nulls = block.values, block.nulls
    count = len(null_row)
    if "shadow" in dirt:
        rows = dirt["shadow"]
        for column in values.values():
            column[rows + 1] = column[rows]
        values["index"][rows + 1] += 1
        values["extra"][rows + 1] = 0
        values["payment"][rows + 1] = 0
        null_row = null_row.copy()
        null_row[rows + 1] = True
    if null_row.any():
        nulls.update(dict.fromkeys(_NULL_BLOCK, null_row))
        # The CSVs leave the vendor out as well; yellow's Parquet has payment type 0 instead of null.
        block.csv_nulls["vendor"] = null_row
        if dataset == "yellow":
            block.csv_nulls["payment"] = nulls.pop("payment")
    everywhere = np.ones(count, dtype=np.bool_)
    for name, since in (
        *(("rate", date(2010, 1, 1)), ("flag", date(2010, 1, 1)), ("mta", date(2009, 11, 1))),
        *(("trip_type", date(2014, 1, 1)), ("congestion", date(2019, 2, 1)), ("airport", date(2021, 1, 1))),
    ):
        if month < since:
            nulls[name] = everywhere
    if dataset == "yellow" and 2010 <= month.year < 2015:
        nulls["flag"] = values["vendor"] != 1
