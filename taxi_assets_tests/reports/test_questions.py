"""What the reports ask of the marts."""

import yaml

from taxi_assets.marts.runner import PROJECT
from taxi_assets.reports.questions import CHARGE_BEGINS


def test_the_charge_begins_on_the_day_that_the_marts_know() -> None:
    variables = yaml.safe_load((PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))["vars"]
    assert variables["congestion_zone_begins"] == CHARGE_BEGINS.isoformat()
