"""`make` notices that `.venv` belongs to another folder: after a move or in a copy, and makes it anew there."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from taxi_assets.settings import PROJECT_ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make on this machine")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project whose .venv was made in it."""
    folder = tmp_path / "project"
    (folder / ".venv").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(PROJECT_ROOT / name, folder)
    # Last, since make compares times.
    (folder / ".venv" / ".installed").write_text(f"{folder}\n")
    return folder


def would_install(folder: Path) -> bool:
    done = subprocess.run(["make", "--dry-run", "install"], cwd=folder, capture_output=True, text=True, check=True)
    return "-m venv --clear .venv" in done.stdout


def test_what_was_made_here_is_kept(project: Path) -> None:
    assert not would_install(project)


def test_a_moved_project_is_installed_again(project: Path) -> None:
    assert would_install(project.rename(project.with_name("moved")))


def test_a_copied_project_is_installed_again(project: Path) -> None:
    copy = shutil.copytree(project, project.with_name("copy"))
    assert would_install(copy)
    assert not would_install(project)


def test_new_pins_are_installed(project: Path) -> None:
    (project / ".venv" / ".installed").touch()
    later = (project / ".venv" / ".installed").stat().st_mtime + 5
    os.utime(project / "constraints.txt", (later, later))
    assert would_install(project)
