"""Repair of real databases with planted damage: what was on sound pages is all there."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hotsplit.errors import DataDamaged, HotsplitError, IoFailed
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.checksum import stamp
from hotsplit.ese.format.page import Page, PageFlag
from hotsplit.ese.read.database import Database
from hotsplit.ese.rebuild.losses import Repaired
from hotsplit.ese.rebuild.repair import repair
from tests.ese.rebuild.samples import contents, digest, findings, recovered, rows_on

SRUM = "srum/win10-apt-clean/SRUDB.dat"


def repaired(source: Path, into: Path) -> Repaired:
    with DatabaseFile.open(OsEnv(), str(source)) as file:
        return repair(OsEnv(), file, str(source), str(into))


def damage(source: Path, target: Path, pages: set[int], rng: random.Random) -> None:
    """Copy a database with these pages zeroed, or filled with garbage."""
    data = bytearray(source.read_bytes())
    with DatabaseFile.open(OsEnv(), str(source)) as file:
        size = file.page_size
    for pgno in pages:
        wrong = bytes(size) if rng.random() < 0.5 else rng.randbytes(size)
        data[(pgno + 1) * size : (pgno + 2) * size] = wrong
    target.write_bytes(data)


def of_kind(path: Path, wanted: str) -> list[int]:
    """Pages of the user tables and their trees: leaves, or internal pages."""
    found = []
    with DatabaseFile.open(OsEnv(), str(path)) as file:
        for pgno in range(32, file.page_count + 1):
            try:
                page = Page(file.read_page(pgno), pgno)
            except HotsplitError:
                continue
            if page.tag_count and not page.flags & (PageFlag.SPACE_TREE | PageFlag.EMPTY):
                kind = "leaf" if page.is_leaf else "internal"
                found += [pgno] if kind == wanted else []
    return found


def missing(source: Path, into: Path, lost: set[int]) -> dict[str, int]:
    """How many rows on sound pages are not in the result, by table."""
    wanted, found = rows_on(source, lost), rows_on(into, set())
    gone = {name: len(rows.keys() - found.get(name, {}).keys()) for name, rows in wanted.items()}
    return {name: number for name, number in gone.items() if number}


@pytest.mark.parametrize("name", ["crash-p4096-ckpt", "crash-p16384-mid", "crash-p8192-w10"])
def test_a_sound_database_loses_nothing(name: str, tmp_path: Path) -> None:
    source, into = recovered(name), tmp_path / "new.edb"
    before = digest(source)
    result = repaired(source, into)
    assert not result.lost_anything
    assert not result.trees
    assert digest(source) == before
    assert not findings(into)
    old, new = contents(source), contents(into)
    tables = [name for name in old if name.startswith("table") and "MSysObjids" not in name]
    assert all(old[name] == new[name] for name in tables)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["crash-p4096-ckpt", "crash-p32768-w10", "crash-p8192-ddl"])
def test_leaves_lost(name: str, seed: int, tmp_path: Path) -> None:
    source, into, rng = recovered(name), tmp_path / "new.edb", random.Random(seed)
    lost = set(rng.sample(of_kind(source, "leaf"), 8))
    damage(source, tmp_path / "old.edb", lost, rng)
    repaired(tmp_path / "old.edb", into)
    assert missing(source, into, lost) == {}
    assert set(findings(into)) <= {"C46"}  # of MSysLocales, which cannot be made anew


@pytest.mark.parametrize("path", [SRUM, "srum/goese-SRUDB.dat", "ntds/adamntds.dit"])
def test_all_upper_pages_lost_costs_no_row(path: str, corpus: Path, tmp_path: Path) -> None:
    source, into = corpus / path, tmp_path / "new.edb"
    lost = set(of_kind(source, "internal"))
    assert lost
    damage(source, tmp_path / "old.edb", lost, random.Random(1))
    result = repaired(tmp_path / "old.edb", into)
    assert missing(source, into, lost) == {}
    assert not any(loss.lost_rows for loss in result.trees)
    assert sum(loss.found for loss in result.trees) > 10
    assert not findings(into)
    old, new = rows_on(source, set()), rows_on(into, set())
    assert old == new


def test_the_catalog_comes_from_its_shadow(corpus: Path, tmp_path: Path) -> None:
    source, into = corpus / SRUM, tmp_path / "new.edb"
    lost = set(range(1, 24))
    damage(source, tmp_path / "old.edb", lost, random.Random(2))
    result = repaired(tmp_path / "old.edb", into)
    assert rows_on(into, set()) == rows_on(source, set())
    assert not findings(into)
    assert not result.lost_anything
    assert "shadow" in result.trees[0].action


def test_both_catalogs_without_root_pages(corpus: Path, tmp_path: Path) -> None:
    source, into = corpus / SRUM, tmp_path / "new.edb"
    damage(source, tmp_path / "old.edb", {4, 24}, random.Random(3))
    repaired(tmp_path / "old.edb", into)
    assert rows_on(into, set()) == rows_on(source, set())
    assert not findings(into)


def test_what_was_lost_is_said(corpus: Path, tmp_path: Path) -> None:
    source, into = corpus / "srum/goese-SRUDB.dat", tmp_path / "new.edb"
    with Database.open(OsEnv(), str(source)) as db:
        table = max(db, key=lambda table: table.count())
        leaves = list(table.tree().leaf_order())
        lost = set(leaves[3:6])
        gone = sum(table.tree().leaf(pgno).node_count for pgno in lost)
        others = {t.name: t.count() for t in db if t.name != table.name}
        count = table.count()
    damage(source, tmp_path / "old.edb", lost, random.Random(4))
    result = repaired(tmp_path / "old.edb", into)
    assert result.damaged_pages or lost
    loss = next(one for one in result.trees if one.object == f"table {table.name}")
    assert set(loss.pages) == lost
    assert loss.lost is not None
    assert gone / 2 < loss.lost < gone * 2
    assert result.lost_anything
    with Database.open(OsEnv(), str(into)) as db:
        assert db.table(table.name).count() == count - gone
        assert {t.name: t.count() for t in db if t.name != table.name} == others
        assert db.header.repair_count == 1


def test_an_index_is_made_anew_from_the_rows(tmp_path: Path) -> None:
    source, into = recovered("crash-p4096-ckpt"), tmp_path / "new.edb"
    with Database.open(OsEnv(), str(source)) as db:
        roots = {i.root for t in db for i in t.indexes
                 if not i.is_primary and not i.flags & 0x400}  # fmt: skip
    assert len(roots) > 5
    damage(source, tmp_path / "old.edb", roots, random.Random(5))
    result = repaired(tmp_path / "old.edb", into)
    assert not result.lost_anything
    assert {loss.action for loss in result.trees} == {"made anew from the rows"}
    old, new = contents(source), contents(into)
    indexes = [name for name in old if name.startswith("index")]
    assert all(old[name] == new[name] for name in indexes)


def test_long_values_that_are_not_whole_are_told(tmp_path: Path) -> None:
    source, into = recovered("crash-p4096-base"), tmp_path / "new.edb"
    with Database.open(OsEnv(), str(source)) as db:
        table = db.table("LV")
        tree = table.long_values().tree
        lost = set(list(tree.leaf_order())[2:7])
        before = [row.values for row in table.records()]
    damage(source, tmp_path / "old.edb", lost, random.Random(6))
    result = repaired(tmp_path / "old.edb", into)
    assert set(findings(into)) <= {"C46"}
    told = result.values["LV"]
    with Database.open(OsEnv(), str(into)) as db:
        after = [row.values for row in db.table("LV").records()]
        assert not db.reporter.findings
    changed = sum(a != b for x, y in zip(before, after, strict=True)
                  for a, b in zip(x, y, strict=True))  # fmt: skip
    assert 0 < changed <= 3 * len(told)
    assert len(told) >= 1


def test_without_a_catalog_there_is_nothing_to_go_by(corpus: Path, tmp_path: Path) -> None:
    source = tmp_path / "old.edb"
    with DatabaseFile.open(OsEnv(), str(corpus / "engine/basic.edb")) as file:
        everything = set(range(1, file.page_count + 1))
    damage(corpus / "engine/basic.edb", source, everything, random.Random(7))
    with pytest.raises(DataDamaged) as caught:
        repaired(source, tmp_path / "new.edb")
    assert caught.value.jet == -1220
    assert list(tmp_path.iterdir()) == [source]


class FailingFile(DatabaseFile):
    """A database on a device of which some pages cannot be read."""

    failing: frozenset[int] = frozenset()

    def read_raw(self, pgno: int, count: int = 1) -> bytes:
        if self.failing & set(range(pgno, pgno + count)):
            raise IoFailed("Input/output error", file=self.path)
        return super().read_raw(pgno, count)


def test_a_device_that_fails_in_places(corpus: Path, tmp_path: Path) -> None:
    source, into = corpus / "srum/goese-SRUDB.dat", tmp_path / "new.edb"
    lost = {4, *of_kind(source, "leaf")[5:8]}
    with FailingFile.open(OsEnv(), str(source)) as file:
        file.failing = frozenset(lost)
        result = repair(OsEnv(), file, str(source), str(into))
    assert result.damaged_pages == sorted(lost)
    assert missing(source, into, lost) == {}
    assert not findings(into)


def test_a_file_cut_short(corpus: Path, tmp_path: Path) -> None:
    source, into = corpus / "srum/goese-SRUDB.dat", tmp_path / "new.edb"
    cut = tmp_path / "old.edb"
    cut.write_bytes(source.read_bytes()[: 500 * 4096 + 1000])
    repaired(cut, into)
    assert missing(source, into, set(range(499, 1000))) == {}
    assert not findings(into)


@pytest.mark.parametrize("seed", range(12))
def test_hostile_pages_with_good_checksums(seed: int, corpus: Path, tmp_path: Path) -> None:
    """Random bytes in sound-looking pages: an error of ours or a result, and no more."""
    rng = random.Random(seed)
    data = bytearray((corpus / "engine/multi.edb").read_bytes())
    for _ in range(6):
        pgno = rng.randrange(1, 36)
        page = data[(pgno + 1) * 4096 : (pgno + 2) * 4096]
        for _ in range(rng.randrange(1, 8)):
            page[rng.randrange(8, 4096)] = rng.randrange(256)
        if any(page):
            page[37] |= 0x20
            stamp(page, pgno)
        data[(pgno + 1) * 4096 : (pgno + 2) * 4096] = page
    source, into = tmp_path / "old.edb", tmp_path / "new.edb"
    source.write_bytes(data)
    try:
        repaired(source, into)
    except HotsplitError:
        assert list(tmp_path.iterdir()) == [source]
        return
    findings(into)
