"""The queries of docs/questions.md give the same rows in both warehouses, and the page shows what they give."""

import re

import dagster as dg
import pytest

from taxi_assets.cli.demo import DATASETS as DEMO_DATASETS
from taxi_assets.cli.demo import MONTHS as DEMO_MONTHS
from taxi_assets.cli.questions_document import DOCS, Question, questions, with_results
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.assets.marts import manifests_of
from taxi_assets.defs.assets.zones import build_zones
from taxi_assets.marts.marts import Marts
from taxi_assets.sample.maker import SampleFiles
from taxi_assets.settings import Settings
from taxi_assets_tests.conftest import World, make_world
from taxi_assets_tests.marts.conftest import WAREHOUSES, marts_of
from taxi_assets_tests.marts.test_marts import same

PAGE = DOCS.read_text(encoding="utf-8")
QUESTIONS = {question.title: question for question in questions(PAGE)}


@pytest.fixture(scope="module")
def demo(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a world with the months that `taxi demo` loads, and their marts in PostgreSQL."""
    made = make_world(services, tmp_path_factory.mktemp("demo") / "data")
    world = made.with_source("sample", sample=SampleFiles())
    assert dg.materialize([build_zones()], resources=world.resources).success
    for name in DEMO_DATASETS:
        for month in DEMO_MONTHS:
            assert world.run(name, month, "raw_file", "clean_parquet", "gcs_object", "postgres_table").success
        manifests = manifests_of(world.lake, DATASETS[name], list(DEMO_MONTHS))
        marts_of(world, "postgres").make_months(DATASETS[name], DEMO_MONTHS, manifests)
    marts_of(world, "postgres").make_views()
    return world


def test_there_are_fifteen_questions() -> None:
    assert [title.split(".")[0] for title in QUESTIONS] == [str(number) for number in range(1, 16)]


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=list(QUESTIONS))
def test_the_answer_is_the_same_in_both_warehouses(filled: World, question: Question) -> None:
    found, other = (
        marts.query(named(question.sql, marts))[1] for marts in (marts_of(filled, name) for name in WAREHOUSES)
    )
    assert found
    same(found, other)


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=list(QUESTIONS))
def test_it_is_answered_for_the_datasets_that_the_page_names(filled: World, question: Question) -> None:
    """All that have what is asked, of those that `filled` holds, which is months of every era of each."""
    marts = marts_of(filled, "postgres")
    [view] = re.findall(r"FROM taxi_marts\.(\w+)", question.sql)
    columns, _ = marts.query(f"SELECT * FROM {marts.name(view)} LIMIT 0")
    # What only fhvhv has is in views without a dataset.
    dataset = "dataset" if "dataset" in columns else "'fhvhv'"
    _, found = marts.query(f"SELECT DISTINCT {dataset} FROM {marts.name(view)}")
    assert {name for (name,) in found} == set(question.datasets)


def test_the_results_on_the_page_are_those_of_the_demos_months(demo: World) -> None:
    marts = marts_of(demo, "postgres")
    wanted = {question.title: question.result for question in questions(with_results(PAGE, marts.query))}
    assert {title: question.result for title, question in QUESTIONS.items()} == wanted


def named(text: str, marts: Marts) -> str:
    """Return a query of the page with the dataset's name, which is a test's own in BigQuery."""
    return text.replace("taxi_marts.", marts.home.split(".")[-1] + ".")
