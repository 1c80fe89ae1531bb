"""The model card: what the model is for, what it was made from, how good it is, and how to roll it back."""

import html
import platform
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from taxi_assets.models.backtest import DurationModel, LeadScores
from taxi_assets.models.features import FEATURE_VERSION, FEATURES
from taxi_assets.models.fit import FIT_ROWS, PARAMETERS
from taxi_assets.models.scores import Scores
from taxi_assets.models.store import Card, libraries
from taxi_assets.models.trips import MONTH_ROWS
from taxi_assets.months import month_text

# The share by which a model must be better than the stronger floor to be used.
NEEDED_GAIN = 0.02
PURPOSE = "Minutes from a pickup zone to a dropoff zone at a local time, with a span that four of five trips fall in."
REFUSALS = (
    "No estimate for zones 264 and 265, which are no places.",
    "Not for a route, an address, a stop on the way, or the wait before the pickup.",
    "Not to judge a driver or a single trip: it does not use the weather, events or closed roads.",
)
FAILURES = (
    "Pairs of zones without trips in the months fitted on: the estimate follows from distance and boroughs.",
    "A sudden change of traffic, as in spring 2020 or at the start of congestion pricing, for some months.",
    "Holidays, of which six months have few.",
    "Trips of more than 180 minutes, most of which are meters left on.",
)
TIME = "Local wall time of New York. A trip belongs to the month of the file that holds it."
SAMPLE_NOTE = "Made from sample data, which is made up: no accuracy is shown."


def build_card(
    dataset: str,
    model: DurationModel,
    file: Mapping[str, Any],
    inputs: Sequence[Mapping[str, Any]],
    *,
    sample: bool,
    drift: Sequence[Mapping[str, Any]] = (),
) -> Card:
    """Return the card; `inputs` are month, fingerprints and rows of what was read. A sample's has no scores."""
    return {
        "dataset": dataset,
        "month": month_text(model.month),
        "purpose": PURPOSE,
        "refusals": list(REFUSALS),
        "file": dict(file),
        "feature_version": FEATURE_VERSION,
        "libraries": libraries(),
        "platform": {"machine": platform.machine(), "python": platform.python_version()},
        "fitted_on": _texts(model.fitted_on),
        "chosen_on": month_text(model.chosen_on) if model.chosen_on else None,
        "scored_on": month_text(model.scored_on) if model.scored_on else None,
        "chosen": {"mean_weight": model.tuning.mean_weight, "below": model.tuning.below, "above": model.tuning.above},
        "inputs": [dict(item) for item in inputs],
        "parameters": PARAMETERS | {"rows_a_month": MONTH_ROWS, "rows_of_trees": FIT_ROWS},
        "features": [
            {"name": f.name, "made_from": list(f.made_from), "known_beforehand": True, "description": f.description}
            for f in FEATURES
        ],
        "sample": sample,
        "note": SAMPLE_NOTE if sample else None,
        "scores": None if sample or not model.leads else [_lead(lead) for lead in model.leads],
        "drift": None if sample else [dict(item) for item in drift],
        "known_failures": list(FAILURES),
        "time": TIME,
        "replaced_by": "A run of the same month replaces the model, if it is better than the floors by 2 %.",
        "roll_back": f"Delete what is under models/{dataset}/{month_text(model.month)}/; an older model is used then.",
    }


def verdict(card: Card) -> tuple[bool, str]:
    """Return whether the model may be used, and why."""
    if card["sample"]:
        return True, SAMPLE_NOTE
    if not card["scores"]:
        return False, "There is no month to score it on: two months before its own are needed, or its own."
    first = card["scores"][0]
    best = min(first["floors"], key=lambda name: first["floors"][name]["mae"])
    text = (
        f"MAE {first['model']['mae']:.2f} min on {card['scored_on']} against {first['floors'][best]['mae']:.2f} of the "
        f"stronger floor ({best}): {first['gain']:+.1%}; {NEEDED_GAIN:.0%} is needed."
    )
    return first["gain"] >= NEEDED_GAIN, text


def mae_at(card: Card, month: date) -> float | None:
    """Return the MAE for a trip in that month: of the lead that it has, or the longest lead scored."""
    if not card["scores"]:
        return None
    year, number = (int(part) for part in card["fitted_on"][-1].split("-"))
    lead = max((month.year - year) * 12 + month.month - number, 1)
    scores = {item["lead"]: item["model"]["mae"] for item in card["scores"]}
    return float(scores[min(scores, key=lambda known: abs(known - lead))])


def page(card: Card) -> str:
    """Return the card as one HTML page that loads nothing."""
    title = f"Trip duration, {card['dataset']}, {card['month']}"
    parts = [
        _paragraph(card["purpose"]),
        _paragraph(card["note"] or verdict(card)[1]),
        "<h2>Not for</h2>" + _list(card["refusals"]),
        "<h2>Scores</h2>" + (_scores(card["scores"]) if card["scores"] else _paragraph(card["note"] or "None.")),
    ]
    if card["drift"]:
        parts.append("<h2>Earlier models on this month</h2>" + _records(card["drift"]))
    parts += [
        "<h2>Made from</h2>" + _records(card["inputs"]),
        _paragraph(f"Fitted on {', '.join(card['fitted_on'])}; chosen on {card['chosen_on']}. {card['time']}"),
        "<h2>Features, all known before the trip</h2>" + _records(card["features"]),
        "<h2>Known failures</h2>" + _list(card["known_failures"]),
        "<h2>Replaced and rolled back</h2>" + _list([card["replaced_by"], card["roll_back"]]),
        "<h2>Versions</h2>" + _records([card["libraries"] | card["platform"] | card["file"]]),
    ]
    style = "body{font:16px sans-serif;max-width:70em;margin:2em auto}td,th{padding:.2em .6em;text-align:left}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{style}</style></head><body><h1>{html.escape(title)}</h1>{''.join(parts)}</body></html>\n"
    )


def _lead(scores: LeadScores) -> dict[str, Any]:
    return {
        "lead": scores.lead,
        "fitted_on": _texts(scores.fitted_on),
        "gain": round(scores.gain, 4),
        "model": scores.model.as_dict(),
        "floors": _dicts(scores.floors),
        "every_duration": scores.every_duration.as_dict(),
        "slices": {name: _dicts(found) for name, found in scores.slices.items()},
    }


def _dicts(scores: Mapping[str, Scores]) -> dict[str, Any]:
    return {name: found.as_dict() for name, found in scores.items()}


def _texts(months: Sequence[date]) -> list[str]:
    return [month_text(month) for month in months]


def _scores(leads: Sequence[Mapping[str, Any]]) -> str:
    found = []
    for lead in leads:
        head = {"lead": f"{lead['lead']} month(s)"}
        found += [head | {"slice": "all"} | {"of": name} | scores for name, scores in _named(lead)]
        for name, by_name in lead["slices"].items():
            found += [head | {"slice": name, "of": of} | scores for of, scores in by_name.items()]
    return _records(found)


def _named(lead: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [("model", lead["model"]), *lead["floors"].items(), ("model, any duration", lead["every_duration"])]


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _list(texts: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in texts) + "</ul>"


def _records(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["<tr>" + "".join(f'<th scope="col">{html.escape(name)}</th>' for name in names) + "</tr>"]
    for row in rows:
        cells = "".join(f"<td>{html.escape(_cell(row.get(name)))}</td>" for name in names)
        lines.append(f"<tr>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
