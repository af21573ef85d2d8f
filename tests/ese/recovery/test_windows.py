"""Real files of Windows machines: databases recovered, and one made from its logs alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.page import Page
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.recover import recover

CLEAN_SETS = ("win10-19043-clean-before", "win11-22000-clean-before", "win10-apt-clean")


def test_a_database_is_made_from_its_logs_alone(corpus: Path, tmp_path: Path) -> None:
    result = recover(OsEnv(), [str(corpus / "birth/logs-day0")], [], str(tmp_path / "out"))
    assert [(Path(p).name, state) for p, state, _ in result.databases] == [
        ("SRUDB.dat", "CLEAN_SHUTDOWN")
    ]
    ours, theirs = Path(result.databases[0][0]), corpus / "birth/expected-day0/SRUDB.dat"
    with Database.open(OsEnv(), str(ours)) as mine, Database.open(OsEnv(), str(theirs)) as other:
        assert mine.header.db_signature == other.header.db_signature
        assert mine.header.objid_last == other.header.objid_last
        assert mine.tables(system=True) == other.tables(system=True)
        for name in other.tables(system=True):
            mine_rows = [(r.key, r.values) for r in mine.table(name).records()]
            assert mine_rows == [(r.key, r.values) for r in other.table(name).records()], name
    assert pages_that_differ(ours, theirs) == []


def pages_that_differ(ours: Path, theirs: Path) -> list[int]:
    """Pages with other nodes or dbtimes; pages that belong to no tree do not count."""
    mine, other = ours.read_bytes(), theirs.read_bytes()
    found = []
    for pgno in range(1, len(other) // 4096 - 1):
        at = (pgno + 1) * 4096
        a, b = Page(mine[at : at + 4096], pgno), Page(other[at : at + 4096], pgno)
        if b.tag_count and (a.dbtime, a.nodes()) != (b.dbtime, b.nodes()):
            found.append(pgno)
    return found


def test_a_dirty_srum_set_recovers(corpus: Path, tmp_path: Path) -> None:
    source = corpus / "srum" / "win10-17763-dirty"
    result = recover(OsEnv(), [str(source)], [], str(tmp_path / "out"))
    path, state, _ = result.databases[0]
    assert state == "CLEAN_SHUTDOWN"
    repaired = str(corpus / "srum" / "win10-17763-repaired" / "SRUDB.dat")
    with Database.open(OsEnv(), path) as ours, Database.open(OsEnv(), repaired) as theirs:
        # The original tool's repair lets the tables be as they lay; replay can only add to them.
        assert set(theirs.tables()) <= set(ours.tables())
        for name in theirs.tables():
            assert ours.table(name).count() >= theirs.table(name).count(), name


@pytest.mark.parametrize("name", CLEAN_SETS)
def test_replay_of_clean_databases_is_a_no_op(name: str, corpus: Path, tmp_path: Path) -> None:
    source = corpus / "srum" / name
    result = recover(OsEnv(), [str(source)], [], str(tmp_path / "out"))
    recovered = Path(result.databases[0][0])
    assert recovered.read_bytes() == (source / "SRUDB.dat").read_bytes()
