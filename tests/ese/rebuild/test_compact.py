"""Compaction keeps every row, key and index entry, and its result is a sound database."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pyesedb
import pytest
from dissect.database.ese import ESE

from hotsplit.errors import DirtyDatabase, DiskFull, PageDamaged, SourceChanged, TargetExists
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.basics import NO_SIGNATURE, LogPosition
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.format.longvalue import BEING_DELETED, LongValueRoot, split_key
from hotsplit.ese.format.page import Node, Page
from hotsplit.ese.read.database import Database
from hotsplit.ese.rebuild.compact import EXTENT_CACHE, Compacted, compact
from tests.conftest import set_names, unpack_vector
from tests.ese.rebuild.samples import clean_corpus, contents, digest, findings, recovered
from tests.expected import compare_rows
from tests.faultenv import FaultEnv, Killed
from tests.memoryenv import Crash


def compacted(source: Path, into: Path) -> Compacted:
    with DatabaseFile.open(OsEnv(), str(source)) as file:
        return compact(OsEnv(), file, str(source), str(into))


@pytest.mark.parametrize("name", set_names("crash"))
def test_engine_sets_have_the_engines_rows(name: str, tmp_path: Path) -> None:
    source, into = recovered(name), tmp_path / "new.edb"
    before = digest(source)
    result = compacted(source, into)
    assert digest(source) == before
    assert not findings(into)
    assert into.stat().st_size == (result.pages + 2) * result.page_size
    assert into.stat().st_size <= source.stat().st_size
    with Database.open(OsEnv(), str(into)) as db:
        expected = json.loads((unpack_vector(name) / "expected.json").read_text())
        assert compare_rows(db, expected) == []


@pytest.mark.parametrize("path", clean_corpus())
def test_real_databases_keep_every_node(path: str, corpus: Path, tmp_path: Path) -> None:
    source, into = corpus / path, tmp_path / "new.edb"
    compacted(source, into)
    old, new = contents(source), contents(into)
    assert list(old) == list(new)
    for name, nodes in old.items():
        if name != f"table {EXTENT_CACHE}":
            assert new[name] == (living(nodes) if name.startswith("long") else nodes), name
    assert set(findings(into)) <= {"X59a"}
    assert findings(into)["X59a"] <= findings(source)["X59a"]
    assert into.stat().st_size <= source.stat().st_size


def living(nodes: list[Node]) -> list[Node]:
    """Nodes of long values that count references."""
    dead = {
        split_key(node.key)[0]
        for node in nodes
        if split_key(node.key)[1] is None
        and LongValueRoot.unpack(node.data).references in (0, BEING_DELETED)
    }
    return [node for node in nodes if split_key(node.key)[0] not in dead]


@pytest.mark.parametrize(
    "path", ["engine/multi.edb", "srum/win10-apt-clean/SRUDB.dat", "ntds/adamntds.dit"]
)
def test_independent_readers_count_the_same_rows(path: str, corpus: Path, tmp_path: Path) -> None:
    into = tmp_path / "new.edb"
    compacted(corpus / path, into)
    with Database.open(OsEnv(), str(corpus / path)) as db:
        ours = {name: db.table(name).count() for name in db.tables(system=True)}
    file = pyesedb.file()
    file.open(str(into))
    theirs = {t.name: t.get_number_of_records() for t in file.tables}
    file.close()
    assert theirs == ours
    with into.open("rb") as handle:
        assert {t.name: sum(1 for _ in t.records()) for t in ESE(handle).tables()} == ours


def test_the_header_is_of_a_database_of_no_stream(corpus: Path, tmp_path: Path) -> None:
    source, into = corpus / "srum/win10-apt-clean/SRUDB.dat", tmp_path / "new.edb"
    compacted(source, into)
    raw = into.read_bytes()
    size = 4096
    assert raw[:size] == raw[size : 2 * size]
    old, new = DatabaseHeader(source.read_bytes()[:size]), DatabaseHeader(raw[:size])
    assert new.db_signature != old.db_signature
    assert new.db_signature.is_set
    assert new.log_signature == NO_SIGNATURE
    assert (new.consistent, new.attach, new.detach) == (LogPosition(),) * 3
    assert (new.update_major, new.objid_last) == (old.update_major, old.objid_last)
    pages = [raw[at : at + size] for at in range(2 * size, len(raw), size)]
    assert max(Page(page).dbtime for page in pages) <= new.dbtime


def test_a_dirty_database_is_refused(corpus: Path, tmp_path: Path) -> None:
    source = corpus / "srum/win10-17763-dirty/SRUDB.dat"
    with pytest.raises(DirtyDatabase) as caught:
        compacted(source, tmp_path / "new.edb")
    assert caught.value.jet == -550
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_kept(corpus: Path, tmp_path: Path) -> None:
    into = tmp_path / "new.edb"
    into.write_text("mine")
    with pytest.raises(TargetExists):
        compacted(corpus / "engine/basic.edb", into)
    assert into.read_text() == "mine"


def test_damage_ends_it_without_a_result(corpus: Path, tmp_path: Path) -> None:
    source = tmp_path / "damaged.edb"
    data = bytearray((corpus / "srum/win10-apt-clean/SRUDB.dat").read_bytes())
    with Database.open(OsEnv(), str(corpus / "srum/win10-apt-clean/SRUDB.dat")) as db:
        table = max(db, key=lambda table: table.count())
        leaf = list(table.tree().leaf_order())[1]
    data[(leaf + 1) * 4096 + 100] ^= 0xFF
    source.write_bytes(data)
    with pytest.raises(PageDamaged) as caught:
        compacted(source, tmp_path / "new.edb")
    assert caught.value.position == f"page {leaf}"
    assert "hotsplit repair" in caught.value.hint
    assert list(tmp_path.iterdir()) == [source]


def small(corpus: Path) -> FaultEnv:
    env = FaultEnv()
    env.mkdir("/d")
    file = env.open("/d/old.edb", "create")
    file.pwrite((corpus / "engine/basic.edb").read_bytes(), 0)
    file.sync()
    file.close()
    env.sync_dir("/d")
    env.sync_dir("/")
    env.changes.clear()
    return env


def run_in(env: FaultEnv) -> None:
    with DatabaseFile.open(env, "/d/old.edb") as source:
        compact(env, source, "/d/old.edb", "/d/new.edb")


def test_what_fails_or_is_killed_leaves_no_half_result(corpus: Path) -> None:
    env = small(corpus)
    run_in(env)
    steps = len(env.changes)
    assert env.listdir("/d") == ["new.edb", "old.edb"]
    for at in range(1, steps + 1):
        full = small(corpus)
        full.fill_disk(at)
        with contextlib.suppress(DiskFull):
            run_in(full)
        assert set(full.listdir("/d")) <= {"new.edb", "old.edb"}
        for crash in (Crash.ALL_LOST, Crash.TORN):
            killed = small(corpus)
            killed.kill_at = at
            with contextlib.suppress(Killed):
                run_in(killed)
            after = FaultEnv.over(killed.crashed(crash, at))
            if after.exists("/d/new.edb"):
                Database.open(after, "/d/new.edb").tables()
            else:
                run_in(after)


def test_a_source_that_changes_meanwhile_is_noticed(corpus: Path) -> None:
    env = small(corpus)
    run_in(env)
    reads = env.reads["/d/old.edb"]
    env = small(corpus)
    env.on_read("/d/old.edb", reads - 1, lambda data: data.__setitem__(16, data[16] ^ 1))
    with pytest.raises(SourceChanged):
        run_in(env)
    assert env.listdir("/d") == ["old.edb"]
