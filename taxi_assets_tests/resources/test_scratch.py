"""Folders for unfinished files vanish with their owners, and only then."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from taxi_assets.resources.scratch import scratch_folder


def test_the_folder_is_gone_at_the_end(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "new" / "parent") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("x")
        assert folder.parent == tmp_path / "new" / "parent"
    assert list(folder.parent.iterdir()) == []


def test_the_folder_is_gone_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), scratch_folder(tmp_path) as folder:
        raise RuntimeError
    assert not folder.exists()


def test_a_live_owners_folder_is_left_alone(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as mine:
        (mine / "file").write_text("x")
        with scratch_folder(tmp_path) as other:
            assert other != mine
        assert (mine / "file").read_text() == "x"


def test_a_killed_owners_folder_is_removed_by_the_next(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from taxi_assets.resources.scratch import scratch_folder\n"
        "with scratch_folder(Path(sys.argv[1])) as f: print(f, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        left = Path(owner.stdout.readline().strip())
        with scratch_folder(tmp_path):
            assert left.is_dir()
        owner.kill()
    assert left.is_dir()
    with scratch_folder(tmp_path):
        assert not left.exists()


def test_what_others_put_there_stays(tmp_path: Path) -> None:
    (tmp_path / "keep").mkdir()
    with scratch_folder(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["keep"]


def test_many_at_once_do_not_sweep_each_other(tmp_path: Path) -> None:
    def use(number: int) -> bool:
        with scratch_folder(tmp_path) as folder:
            (folder / "file").write_text(str(number))
            return (folder / "file").read_text() == str(number)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(200)))
    assert list(tmp_path.iterdir()) == []
