"""What `taxi doctor` finds on this machine."""

from importlib import metadata
from pathlib import Path

import pytest

from taxi_assets.doctor import machine
from taxi_assets.doctor.check import Result
from taxi_assets.settings import Settings


def check(name: str, settings: Settings) -> list[Result]:
    [found] = [check for check in machine.checks(settings) if check.name == name]
    return found.find()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment({"TAXI_DATA_DIR": str(tmp_path / "data")})


def test_packages_are_compared_with_the_pins(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "PROJECT_ROOT", tmp_path)
    [result] = check("packages", settings)
    assert (result.status, "constraints.txt is not there" in result.text) == ("unchecked", True)
    pins = tmp_path / "constraints.txt"
    pins.write_text(f"click=={metadata.version('click')}\nno-such-package==1\n")
    [result] = check("packages", settings)
    assert (result.status, result.text[:38]) == ("ok", "1 of 2 pinned packages are installed, ")
    pins.write_text("click==0.1\n")
    [result] = check("packages", settings)
    assert result.status == "warning"
    assert f"click {metadata.version('click')} instead of 0.1; run `make install`" in result.text


@pytest.mark.parametrize(("name", "words"), [("disk", "are free in"), ("memory", "of memory are available")])
def test_too_little_is_named(name: str, words: str, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "DISK_LEAST", 1 << 60)
    monkeypatch.setattr(machine, "MEMORY_LEAST", 1 << 60)
    [result] = check(name, settings)
    assert result.status in ("failed", "warning")
    assert words in result.text


def test_ports_that_are_free_and_a_clock_without_another(settings: Settings):
    assert [result.status for result in check("clock", settings)] == ["ok"]
