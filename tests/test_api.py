"""The calls that a Python developer finds first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import hotsplit
from hotsplit.example import unpack


@pytest.fixture
def split(tmp_path: Path) -> Path:
    folder = tmp_path / "split"
    unpack(folder)
    return folder


def test_assess_recover_verify_open(split: Path, tmp_path: Path) -> None:
    assert hotsplit.assess(split).recoverable
    result = hotsplit.recover(split, tmp_path / "out")
    path = result.databases[0][0]
    assert not hotsplit.verify(path).is_damaged
    with hotsplit.open(path) as db:
        assert not db.is_dirty
        assert db.tables()


def test_replay_reads_what_recovery_would_write_and_writes_nothing(
    split: Path, tmp_path: Path
) -> None:
    before = {p.name: p.read_bytes() for p in split.iterdir()}
    recovered = hotsplit.recover([split / "test.edb"], tmp_path / "out", logs=split)
    with (
        hotsplit.open(split / "test.edb", replay=True) as overlay,
        hotsplit.open(recovered.databases[0][0]) as copy,
        hotsplit.open(split / "test.edb") as as_it_lies,
    ):
        assert (overlay.is_dirty, copy.is_dirty, as_it_lies.is_dirty) == (False, False, True)
        assert overlay.tables(system=True) == copy.tables(system=True)
        for table in copy:
            rows = [(r.key, r.values) for r in table.records()]
            assert [(r.key, r.values) for r in overlay.table(table.name).records()] == rows
    assert before == {p.name: p.read_bytes() for p in split.iterdir()}


def test_errors_are_of_one_family(split: Path) -> None:
    (split / "E0000000002.log").unlink()
    with pytest.raises(hotsplit.HotsplitError) as caught:
        hotsplit.open(split / "test.edb", replay=True)
    assert int(caught.value.jet) == -515


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, hotsplit; print([m for m in sys.modules if m.startswith('hotsplit.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
