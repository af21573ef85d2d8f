"""Small sets that the published engine was killed over, each with one thing that is seldom met.

`tests/data/sets/NAME.tar.xz` holds the files after the crash and what is in each database after the
engine's own recovery (`tests.expected`), or, where that fails, what was committed.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from hotsplit.ese.check.integrity import check_database
from hotsplit.ese.engine.opening.inplace import recover_in_place
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.basics import NO_SIGNATURE, LogPosition, LogTime, Signature
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.assess import assess
from hotsplit.ese.recovery.recover import recover
from hotsplit.example import extract_all
from hotsplit.report import Reporter, Severity
from tests.expected import compare_rows

SETS = Path(__file__).parents[2] / "data" / "sets"
NAMES = {
    "index-image-never-logged": "an entry deleted in such an index, whose page was written since",
    "index-page-elsewhere": "the same, and the root page is a leaf of another tree by now; "
    "the engine fails with JET_errBadParentPageLink",
    "index-taken-back": "entries of an open transaction in an index whose creation was rolled back",
}


def test_every_set_is_used() -> None:
    assert sorted(NAMES) == sorted(p.name.removesuffix(".tar.xz") for p in SETS.iterdir())


@pytest.fixture(params=sorted(NAMES))
def unpacked(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with tarfile.open(SETS / f"{request.param}.tar.xz") as tar:
        extract_all(tar, str(tmp_path))
    return tmp_path


def test_recovery_gives_what_the_engine_gives(unpacked: Path) -> None:
    crash, copy = str(unpacked / "crash"), str(unpacked / "copy")
    assert assess(OsEnv(), [crash], []).recoverable
    recover(OsEnv(), [crash], [], copy)
    expect_databases_of_the_engine(unpacked, Path(copy))


def test_recovery_in_place_gives_what_the_engine_gives(unpacked: Path) -> None:
    recover_in_place(OsEnv(), [str(unpacked / "crash")], [])
    expect_databases_of_the_engine(unpacked, unpacked / "crash")


def expect_databases_of_the_engine(unpacked: Path, folder: Path) -> None:
    expected: dict[str, Any] = json.loads((unpacked / "expected.json").read_text())
    assert sorted(expected) == sorted(p.name for p in folder.glob("*.edb"))
    for name, content in expected.items():
        path, reporter = str(folder / name), Reporter()
        with Database.open(OsEnv(), path) as db:
            assert not db.is_dirty
            assert compare_rows(db, content) == []
        check_database(OsEnv(), path, reporter)
        assert [f for f in reporter.findings if f.severity != Severity.NOTE] == []
    shutil.rmtree(folder)


@pytest.mark.parametrize("unpacked", ["index-taken-back"], indirect=True)
def test_the_temporary_database_of_a_running_instance_is_nobodys(unpacked: Path) -> None:
    crash = unpacked / "crash"
    data = (crash / "db0.edb").read_bytes()
    header = DatabaseHeader(data[:4096])
    assert header.file_type == 1
    header.dbid, header.attach, header.gen_min_required = 0, LogPosition(), 0
    header.gen_max_required = header.gen_max_committed = 0
    header.log_signature, header.db_signature = NO_SIGNATURE, Signature(1, LogTime(), b"")
    temporary = unpacked / "crash" / "tmp.edb"
    temporary.write_bytes(header.sealed() * 2 + data[8192:])
    before = temporary.read_bytes()
    done = recover(OsEnv(), [str(crash)], [], str(unpacked / "copy"))
    assert [Path(path).name for path, _, _ in done.databases] == ["db0.edb"]
    recover_in_place(OsEnv(), [str(crash)], [])
    assert temporary.read_bytes() == before
