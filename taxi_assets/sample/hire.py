"""Makes the sample source's for-hire trips: fhv (bases, mostly without zones) and fhvhv (Uber, Lyft, Via, Juno).

fhv files can have a few exact duplicates by chance, as the real ones have: small bases report whole minutes. There are
most where no dropoff was published: about 5 in 1,000 rows of a 2015 file of a million rows, none or one in 15,000.
"""

from datetime import date

import numpy as np

from taxi_assets.sample.draws import (
    DIRT,
    MIN_ROWS_FOR_DIRT,
    UNKNOWN_ZONE,
    Block,
    Ints,
    chance,
    dirty_rows,
    epoch,
    lognormal,
    pick,
    pickups,
    progress_of,
    spoil_times,
    spoil_zones,
    weighted,
)
from taxi_assets.sample.taxis import tariff_of
from taxi_assets.sample.zones import AIRPORT, CBD, CONGESTED, zone_table

LOWER_CASE = 100_000  # added to a base number that is written b00056 instead of B00056
_LARGE_BASES = (2512, 2598, 2617, 2682, 2764, 2765)
_BASES = weighted(dict.fromkeys(_LARGE_BASES, 600.0) | {1 + 7 * k % 3289: 6.0 + 900.0 / (k + 3) for k in range(0, 470)})
_UBER_BASES = weighted({base: 3.0 for base in range(2864, 2890)} | {2764: 12.0, 2765: 8.0, 2395: 1.0})
UBER, LYFT, VIA, JUNO = 3, 5, 4, 2


def _for_hire_trips(
    rng: np.random.Generator, month: date, first: int, count: int, rows: int
) -> tuple[dict[str, Ints], Ints, Ints]:
    """Return times and zones, the distance in thousandths of a mile and the seconds."""
    progress, _ = progress_of(0.0, first, count, rows)
    pickup = pickups(rng, month, progress)
    pu = pick(rng, zone_table(5, 0.5), count)
    do = pick(rng, zone_table(5, 0.7), count)
    airport_trip = AIRPORT[pu] | AIRPORT[do]
    miles = pick(rng, lognormal(2_800, 0.85), count) + rng.integers(0, 97, count) + airport_trip * 8_000
    seconds = 60 + miles * 36 // (pick(rng, lognormal(130, 0.3), count) + miles // 200) + rng.integers(0, 60, count)
    dirt = dirty_rows(rng, DIRT, count, first == 0 and rows >= MIN_ROWS_FOR_DIRT)
    spoil_times(rng, month, dirt, pickup, seconds)
    spoil_zones(rng, dirt, pu, do)
    return {"pickup": pickup, "dropoff": pickup + seconds, "pu": pu, "do": do}, miles, seconds


def fhv_block(rng: np.random.Generator, _dataset: str, month: date, first: int, count: int, rows: int) -> Block:
    """Return rows `first` to `first + count` of an fhv file of `rows` rows."""
    values, _, _ = _for_hire_trips(rng, month, first, count, rows)
    base = pick(rng, _BASES, count)
    large = np.isin(base, _LARGE_BASES)
    by_minute = ~large & chance(rng, 0.4, count)
    values["pickup"][by_minute] -= values["pickup"][by_minute] % 60
    if month.year == 2017:  # small bases reported dropoffs days late
        values["dropoff"][by_minute & chance(rng, 0.05, count)] += 5 * 86_400
        base = base + LOWER_CASE * (~large & chance(rng, 0.003, count))
    if month >= date(2020, 1, 1):
        values["pu"][chance(rng, 0.5, count)] = UNKNOWN_ZONE
    values["base"] = base
    values["affiliated"] = np.where(chance(rng, 0.67, count), base, pick(rng, _BASES, count))
    values["shared"] = np.ones(count, dtype=np.int64)
    no_dropoff = np.full(count, month.year < 2017) | (chance(rng, 0.5, count) & (month < date(2017, 6, 1)))
    shared_known = date(2017, 7, 1) <= month < date(2019, 1, 1)
    nulls = {
        "dropoff": no_dropoff,
        "pu": ~large & chance(rng, 0.75, count),
        "do": no_dropoff | (~large & chance(rng, 0.12 if month.year >= 2019 else 0.6, count)),
        "shared": ~(large & chance(rng, 0.2, count)) if shared_known else np.ones(count, dtype=np.bool_),
        "affiliated": chance(rng, 0.05, count),
    }
    return Block(values, nulls, {})


def fhvhv_block(rng: np.random.Generator, _dataset: str, month: date, first: int, count: int, rows: int) -> Block:
    """Return rows `first` to `first + count` of an fhvhv file of `rows` rows."""
    values, miles, seconds = _for_hire_trips(rng, month, first, count, rows)
    small = {VIA: 2.0, JUNO: 3.0} if month < date(2019, 12, 1) else {VIA: 1.0} if month.year < 2022 else {}
    licence = pick(rng, weighted({UBER: 72.0, LYFT: 25.0} | small), count)
    uber = licence == UBER
    base = np.where(uber, pick(rng, _UBER_BASES, count), np.where(licence == LYFT, 2510, 2800))
    base[licence == JUNO] = 2914

    duration = np.maximum(seconds, 0)
    fare = np.maximum(250 + miles * 15 // 100 + duration * 45 // 60 + rng.integers(0, 300, count), 600)
    refunds = chance(rng, 0.0008, count)
    fare[refunds] = -rng.integers(1, 900, int(refunds.sum()))
    fare[chance(rng, 0.0008, count)] = 0
    paid = np.maximum(fare, 0)
    tolls = np.where(chance(rng, 0.06, count), tariff_of(month).toll, 0)
    core = CONGESTED[values["pu"]] | CONGESTED[values["do"]]
    at_airport = AIRPORT[values["pu"]] | AIRPORT[values["do"]]
    shared_request = chance(rng, 0.15 if month < date(2020, 3, 1) else 0.02 if month.year >= 2022 else 0.0, count)
    wav_request = chance(rng, 0.0015, count)
    waiting = rng.integers(20, 240, count)
    values |= {
        "license": licence,
        "base": base,
        "originating": base,
        "on_scene": values["pickup"] - waiting,
        "request": values["pickup"] - waiting - pick(rng, lognormal(180, 0.6), count),
        "trip_miles": miles,
        "trip_time": seconds,
        "base_fare": fare,
        "tolls": tolls,
        "bcf": (paid + tolls) * 25 // 1000,
        "sales_tax": (paid + tolls) * 8875 // 100_000,
        "congestion": np.where(core, np.where(shared_request, 75, 275), 0),
        "airport": np.where(at_airport, 250, 0),
        "tip": np.where(chance(rng, 0.17, count), paid * rng.integers(8, 26, count) // 100, 0),
        "driver_pay": miles * 85 // 1000 + duration * 55 // 60 + rng.integers(0, 200, count),
        "shared": np.ones(count, dtype=np.int64),
        "shared_request": shared_request.astype(np.int64),
        "shared_match": (shared_request & chance(rng, 0.6, count)).astype(np.int64),
        "access_a_ride": np.where(uber, 2, 0),
        "wav_request": wav_request.astype(np.int64),
        "wav_match": (wav_request | chance(rng, 0.03, count)).astype(np.int64),
        "cbd": np.where(CBD[values["pu"]] | CBD[values["do"]], 150, 0) * (values["pickup"] >= epoch(date(2025, 1, 5))),
    }
    nulls = {
        "shared": ~shared_request,
        "originating": ~uber,
        "on_scene": ~uber,
        "airport": np.full(count, month < date(2021, 4, 1)),
    }
    return Block(values, nulls, {})
