"""Rows that are not live: found where they were put, labelled, never shown as live."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.columns import Value
from hotsplit.ese.format.page import NodeFlag, Page
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.labels import INCLUDABLE, Confidence, Label, State, origins
from hotsplit.ese.read.table import Table
from tests.batches import rows_of
from tests.conftest import unpack_vector
from tests.ese.read.test_hostile import Overlay, widest_tree

SETS = ["crash-p4096-base", "crash-p8192-ckpt", "crash-p16384-ckpt"]
ALL = set(INCLUDABLE)


class RunOverlay(Overlay):
    """An overlay that gives runs of pages, so that remains can be looked for."""

    @property
    def page_count(self) -> int:
        """Pages of the file."""
        return self._file.page_count

    @property
    def _file(self) -> DatabaseFile:
        assert isinstance(self.base, DatabaseFile)
        return self.base

    def read_raw(self, pgno: int, count: int = 1, /) -> bytes:
        """Pages as they are, changed ones stamped."""
        from hotsplit.ese.format.checksum import stamp

        data = bytearray(self._file.read_raw(pgno, count))
        for i in range(len(data) // self.page_size):
            if pgno + i in self.pages:
                page = bytearray(self.pages[pgno + i])
                stamp(page, pgno + i)
                data[i * self.page_size : (i + 1) * self.page_size] = page
        return bytes(data)


@pytest.fixture(params=SETS)
def overlay(request: pytest.FixtureRequest, shared: Path) -> RunOverlay:
    return RunOverlay(unpack_vector(request.param) / "recovered" / "test.edb")


def labels(table: Table, include: set[State] = ALL) -> dict[Label, list[list[Value]]]:
    found: dict[Label, list[list[Value]]] = {}
    for row in table.labelled(include=include):
        found.setdefault(row.origin.label, []).append(row.values)
    return found


def test_only_live_rows_by_default(overlay: RunOverlay) -> None:
    table, leaves = widest_tree(Database(overlay))
    victim = Page(overlay.read_page(leaves[1])).node(0)
    overlay.edit(leaves[1], lambda page: page.set_node_flags(0, NodeFlag.DELETED))
    table = Database(overlay).table(table.name)
    keys = [row.key for row in table.records([])]
    assert victim.key not in keys
    assert [row.key for row in table.labelled([])] == keys
    assert sum(batch.rows for batch in table.batches()) == len(keys)


def test_flagged_rows_come_in_their_place(overlay: RunOverlay) -> None:
    table, leaves = widest_tree(Database(overlay))
    before = list(table.labelled(include={State.DELETED}))
    flagged = {row.key for row in before if row.origin.label == Label.DELETED}
    victim = Page(overlay.read_page(leaves[1])).node(0)
    overlay.edit(leaves[1], lambda page: page.set_node_flags(0, NodeFlag.DELETED))
    table = Database(overlay).table(table.name)
    after = list(table.labelled(include={State.DELETED}))
    assert [row[1:] for row in after] == [row[1:] for row in before]
    now = {row.key: row.origin for row in after if row.origin.label == Label.DELETED}
    assert set(now) == flagged | {victim.key}
    assert now[victim.key][:2] == (leaves[1], 0)
    assert now[victim.key].label.confidence == Confidence.HIGH


def test_unlinked_page_gives_orphans(overlay: RunOverlay) -> None:
    """The tree forgets a leaf: its rows are not live any more, but they are found."""
    table, leaves = widest_tree(Database(overlay))
    rows = {row.key: row.values for row in table.records()}
    lost = Page(overlay.read_page(leaves[1]))
    nodes = [node for node in lost.nodes() if not node.is_deleted]
    root = table.definition.root
    number = [n.data for n in Page(overlay.read_page(root)).nodes()].index(
        leaves[1].to_bytes(4, "little")
    )
    overlay.edit(root, lambda page: page.delete(number))
    overlay.edit(leaves[0], lambda page: setattr(page, "next", leaves[2]))
    overlay.edit(leaves[2], lambda page: setattr(page, "previous", leaves[0]))
    table = Database(overlay).table(table.name)
    assert table.count() == len(rows) - len(nodes)
    orphaned = [
        row
        for row in table.labelled(include={State.ORPHANED})
        if row.origin.label == Label.ORPHANED and row.origin.page == leaves[1]
    ]
    assert [row.key for row in orphaned] == [node.key for node in nodes]
    assert [row.values for row in orphaned] == [rows[node.key] for node in nodes]


def test_removed_node_is_carved_from_the_free_space(overlay: RunOverlay) -> None:
    """What Page.delete leaves behind is found, with its key, unless a live node repeats it."""
    carved = 0
    for name in ("Fixed", "Var", "Counters", "Derived", "Auto64"):
        table = Database(overlay).table(name)
        for row in list(table.records())[:4]:
            overlay.pages.clear()
            leaf = next(p for p in table.tree().leaves() if row.key in [n.key for n in p.nodes()])
            number = [n.key for n in leaf.nodes()].index(row.key)
            record = leaf.node(number).data
            overlay.edit(leaf.number, partial(Page.delete, i=number))
            found = list(Database(overlay).table(name).labelled(include={State.CARVED}))
            assert row.values not in [r.values for r in found if r.origin.label == Label.LIVE]
            hits = [r for r in found if r.values == row.values and r.origin.page == leaf.number]
            if hits:
                assert hits[0].key == row.key
                assert hits[0].origin.label == Label.SLACK_NODE
                at = hits[0].origin.node
                assert overlay.pages[leaf.number][at : at + len(record)] == record
                carved += 1
    assert carved >= 15


def test_values_of_removed_rows_end_where_the_next_one_begins(corpus: Path) -> None:
    """Nothing says how long the last value of a removed row is but the node behind it."""
    overlay = RunOverlay(corpus / "srum" / "goese-SRUDB.dat")
    table = Database(overlay).table("SruDbIdMapTable")
    rows = {row.key: row.values for row in table.records()}
    leaf = next(page for page in table.tree().leaves() if len(list(page.nodes())) > 10)
    nodes = list(leaf.nodes())

    def empty(page: Page) -> None:
        for _ in nodes:
            page.delete(0)

    overlay.edit(leaf.number, empty)
    found = [
        row
        for row in Database(overlay).table(table.name).labelled(include={State.CARVED})
        if row.origin.page == leaf.number and row.origin.label == Label.SLACK_NODE
    ]
    whole = [row for row in found if row.values == rows.get(row.key or b"")]
    assert len(whole) >= len(nodes) - 1


def test_batches_carry_the_same_labels(overlay: RunOverlay) -> None:
    _, leaves = widest_tree(Database(overlay))
    overlay.edit(leaves[1], lambda page: page.set_node_flags(0, NodeFlag.DELETED))
    overlay.edit(leaves[2], lambda page: page.delete(0))
    for table in Database(overlay):
        rows = list(table.labelled(include=ALL))
        for size in (3, 65536):
            batches = list(table.batches(size=size, include=ALL))
            assert [o for batch in batches for o in origins(batch.places)] == [
                row.origin for row in rows
            ]
            if table.name in ("Fixed", "Var"):
                values = [values for batch in batches for values in rows_of(batch)]
                assert values == [row.values for row in rows]


def test_remains_make_no_findings(overlay: RunOverlay) -> None:
    db = Database(overlay)
    for table in db:
        list(table.labelled(include=ALL))
        for _ in table.batches(include=ALL):
            pass
    assert set(db.reporter.counts) <= {"text"}


def test_deleted_rows_of_a_windows_database(corpus: Path) -> None:
    """25 rows carry the deleted flag there; other readers show them as live."""
    path = corpus / "srum" / "win11-22000-clean-before" / "SRUDB.dat"
    with Database.open(OsEnv(), str(path)) as db:
        table = db.table("{5C8CF1C7-7257-4F13-B223-970EF5939312}")
        found = labels(table, {State.DELETED})
        assert (len(found[Label.LIVE]), len(found[Label.DELETED])) == (224, 25)
        assert not [v for v in found[Label.DELETED] if v in found[Label.LIVE]]


def test_every_label_has_a_meaning() -> None:
    assert all(label.why or label == Label.LIVE for label in Label)
    assert {label.state for label in Label} == set(State)
