"""A saved model is read as it was written, and any other file is refused."""

import json
from datetime import date
from typing import Any

import numpy as np
import pytest
from skops.io import dumps

from taxi_assets.errors import ServiceError
from taxi_assets.models import store
from taxi_assets.models.backtest import DurationModel, train
from taxi_assets.models.card import build_card, mae_at, page, verdict
from taxi_assets.models.fit import answer
from taxi_assets.models.places import known_places
from taxi_assets.models.skops_file import by_numpy, by_skops
from taxi_assets.models.trips import Questions
from taxi_assets_tests.support.trips import month_trips

PLACES = known_places()
MAY = date(2023, 5, 1)
CARD = "models/green/2023-05/card.json"


def random_questions(rows: int) -> Questions:
    """Return questions of all times, and of all pairs of zones: few have trips, and 0, 264 and 265 have no place."""
    random = np.random.default_rng(0)
    zones = random.integers(0, 266, (2, rows))
    zones[random.random(zones.shape) < 0.1] = 264
    return Questions(*zones, np.datetime64("2009-01-01", "s") + random.integers(0, 20 * 366 * 86_400, rows))


@pytest.fixture(scope="module")
def model() -> DurationModel:
    return train({date(2023, n, 1): month_trips(date(2023, n, 1)) for n in (2, 3, 4, 5)}, MAY, PLACES)


@pytest.fixture
def objects(model: DurationModel) -> dict[str, bytes]:
    content = store.to_bytes(model, "green")
    facts = store.file_facts(content)
    card = build_card("green", model, facts, [{"month": "2023-04", "sample": False}], sample=False)
    return {CARD: json.dumps(card).encode(), f"models/green/2023-05/{facts['name']}": content}


@pytest.fixture(params=[by_skops, by_numpy])
def unpack(request: pytest.FixtureRequest) -> store.Unpack:
    return request.param


def change_card(objects: dict[str, bytes], **changes: object) -> None:
    objects[CARD] = json.dumps(json.loads(objects[CARD]) | changes).encode()


def file_name(objects: dict[str, bytes]) -> str:
    [name] = [name for name in objects if name.endswith(".skops")]
    return name


def replace_file(objects: dict[str, bytes], content: bytes) -> None:
    del objects[file_name(objects)]
    facts = store.file_facts(content)
    objects[f"models/green/2023-05/{facts['name']}"] = content
    change_card(objects, file=facts)


def test_a_model_answers_the_same_after_it_was_saved(
    model: DurationModel, objects: dict[str, bytes], unpack: store.Unpack
):
    card, fitted, tuning = store.load("green", MAY, objects.get, unpack)
    assert card["fitted_on"] == ["2023-02", "2023-03", "2023-04"]
    for questions in (month_trips(MAY).questions, random_questions(5000)):
        for mine, saved in zip(model.answer(questions, PLACES), answer(fitted, tuning, questions, PLACES), strict=True):
            assert np.array_equal(mine, saved)


def test_a_broken_file_is_refused(objects: dict[str, bytes], unpack: store.Unpack):
    name = file_name(objects)
    objects[name] = objects[name][:-100]
    with pytest.raises(ServiceError, match=r"is broken: .* materialize green/duration_model of 2023-05 again"):
        store.load("green", MAY, objects.get, unpack)
    replace_file(objects, b"PK\3\4 and then nothing")
    with pytest.raises(ServiceError, match="cannot be read"):
        store.load("green", MAY, objects.get, unpack)
    del objects[file_name(objects)]
    with pytest.raises(ServiceError, match="lacks its file"):
        store.load("green", MAY, objects.get, unpack)


@pytest.mark.parametrize("card", [b"", b"[]", b"{", b'{"file": 1}'])
def test_a_broken_card_is_refused(objects: dict[str, bytes], card: bytes, unpack: store.Unpack):
    objects[CARD] = card
    with pytest.raises(ServiceError, match="card that cannot be read"):
        store.load("green", MAY, objects.get, unpack)


def test_a_stale_model_is_refused(objects: dict[str, bytes], unpack: store.Unpack):
    change_card(objects, feature_version="0")
    with pytest.raises(ServiceError, match="is stale: its features have version 0"):
        store.load("green", MAY, objects.get, unpack)
    change_card(objects, feature_version="1", libraries={"scikit-learn": "0.24"})
    with pytest.raises(ServiceError, match=r"is stale: scikit-learn 0\.24 made it"):
        store.load("green", MAY, objects.get, unpack)


def test_the_file_of_another_model_is_refused(model: DurationModel, objects: dict[str, bytes], unpack: store.Unpack):
    with pytest.raises(ServiceError, match="has no card"):
        store.load("yellow", MAY, objects.get, unpack)
    yellow = {name.replace("green", "yellow"): content for name, content in objects.items()}
    with pytest.raises(ServiceError, match="has the card of green 2023-05"):
        store.load("yellow", MAY, yellow.get, unpack)
    replace_file(objects, store.to_bytes(model, "yellow"))
    with pytest.raises(ServiceError, match="its file is of another model"):
        store.load("green", MAY, objects.get, unpack)


def test_a_file_with_types_that_no_model_has_is_refused(objects: dict[str, bytes], unpack: store.Unpack):
    replace_file(objects, dumps({"dataset": "green", "month": "2023-05", "trees": np.random.RandomState(0).rand}))
    with pytest.raises(ServiceError, match=r"(holds .* which no model does|cannot be read)"):
        store.load("green", MAY, objects.get, unpack)


@pytest.mark.parametrize("parts", [{}, {"history": {}}, {"history": 1, "trees": {}, "tuning": {}}])
def test_a_file_without_the_parts_of_a_model_is_refused(
    objects: dict[str, bytes], parts: dict[str, Any], unpack: store.Unpack
):
    replace_file(objects, dumps({"dataset": "green", "month": "2023-05"} | parts))
    with pytest.raises(ServiceError, match="its file has other parts than a model"):
        store.load("green", MAY, objects.get, unpack)


def test_a_card_that_names_another_path_is_refused(objects: dict[str, bytes], unpack: store.Unpack):
    change_card(objects, file={"name": "../../secret", "sha256": "0"})
    with pytest.raises(ServiceError, match="which is none of a model"):
        store.load("green", MAY, objects.get, unpack)


def test_a_model_that_is_not_better_than_the_floor_is_not_used(objects: dict[str, bytes]):
    card = json.loads(objects[CARD])
    passed, reason = verdict(card)
    assert passed == (card["scores"][0]["gain"] >= 0.02)
    card["scores"][0]["gain"] = 0.0199
    passed, reason = verdict(card)
    assert not passed
    assert "2% is needed" in reason
    card["scores"] = None
    assert not verdict(card)[0]


def test_a_sample_has_no_accuracy(model: DurationModel):
    card = build_card("green", model, {}, [], sample=True, drift=[{"mae": 1.2345}])
    assert card["scores"] is None
    assert card["drift"] is None
    assert verdict(card)[0]
    assert mae_at(card, MAY) is None
    assert "mae" not in page(card)
    assert "made up: no accuracy is shown" in page(card)


def test_the_error_is_that_of_the_lead_asked_for(objects: dict[str, bytes]):
    card = json.loads(objects[CARD])
    errors = [lead["model"]["mae"] for lead in card["scores"]]
    assert mae_at(card, date(2023, 5, 1)) == errors[0]
    assert mae_at(card, date(2023, 6, 1)) == errors[1]
    assert mae_at(card, date(2024, 1, 1)) == errors[-1]


def test_the_page_shows_the_audit_and_escapes_what_it_shows(objects: dict[str, bytes]):
    card = json.loads(objects[CARD]) | {"inputs": [{"month": "<script>"}]}
    text = page(card)
    assert "<script>" not in text
    assert "pair_and_part_minutes" in text
    assert "Roll" in text or "rolled back" in text
