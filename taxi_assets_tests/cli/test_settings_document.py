"""docs/settings.md and .env.example are what the settings' fields say."""

from taxi_assets.cli.settings_document import DOCS, SECTIONS, TEMPLATE, document, template
from taxi_assets.settings import VARIABLES


def test_both_files_are_up_to_date() -> None:
    assert DOCS.read_text(encoding="utf-8") == document(), "run python -m taxi_assets.cli.settings_document"
    assert TEMPLATE.read_text(encoding="utf-8") == template(), "run python -m taxi_assets.cli.settings_document"


def test_every_setting_is_in_one_section() -> None:
    named = [f"TAXI_{name.upper()}" for _, names in SECTIONS for name in names]
    assert sorted(named) == sorted(VARIABLES)
