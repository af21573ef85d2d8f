"""Exports on several cores: large tables in pieces, the files the same as on one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hotsplit.errors import DiskFull
from hotsplit.ese.export import parallel
from hotsplit.ese.export.job import Job, Report
from hotsplit.ese.export.manifest import Plan, Result
from hotsplit.ese.export.tables import Order
from hotsplit.ese.export.writers import Format
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.labels import INCLUDABLE
from tests.conftest import unpack_vector
from tests.ese.export.test_job import Failing
from tests.ese.read.test_hostile import widest_tree
from tests.ese.read.test_labels import RunOverlay

LARGEST = "Wide"


@pytest.fixture(scope="module")
def database(shared: Path) -> Path:
    return unpack_vector("crash-p4096-ckpt") / "recovered" / "test.edb"


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_LEAST_PIECE", 4096)  # a page
    monkeypatch.setattr(parallel, "_PIECES_A_JOB", 40)


def export(
    database: Path, target: Path, form: Format, jobs: int, env: Any = None, **plan: Any
) -> Report:
    opener = partial(Database.open, env or OsEnv(), str(database))
    with opener() as db:
        return Job(env or OsEnv(), db, str(target), Plan(form, profile="none", **plan)).run(jobs)


def said(results: list[Result]) -> list[Result]:
    return [replace(result, seconds=0) for result in results]


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "export.json"}


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "arrow"])
def test_the_same_files_and_results(database: Path, tmp_path: Path, form: Format) -> None:
    one = export(database, tmp_path / "one", form, 1)
    many = export(database, tmp_path / "many", form, 3)
    assert said(many.results) == said(one.results)
    assert files(tmp_path / "many") == files(tmp_path / "one")


def test_processes_that_open_the_database_themselves(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a process cannot inherit it: what it is told to do can be sent to it."""
    monkeypatch.setattr(parallel, "start_method", lambda: "spawn")
    opener = partial(Database.open, OsEnv(), str(database))
    target = tmp_path / "many.csv"
    with opener() as db:
        plan = Plan("csv", tables=(LARGEST,), profile="none")
        report = Job(OsEnv(), db, str(target), plan, opener=opener).run(2)
    assert not report.failed
    export(database, tmp_path / "one.csv", "csv", 1, tables=(LARGEST,))
    assert target.read_bytes() == (tmp_path / "one.csv").read_bytes()


def test_what_comes_in_pieces(database: Path) -> None:
    """Tables with more than their share, in formats of text, without remains."""
    with Database.open(OsEnv(), str(database)) as db:
        table, leaves = widest_tree(db)
        orders = [Order(table.name, "x", 4 * len(leaves)), Order("Counters", "y", 1)]
        found = parallel.share_out(db, orders, Plan("csv"), 2)
        parts = [order.part for order in found[:-1]]
        assert [pgno for part in parts if part for pgno in part.leaves] == leaves
        assert len(parts) > 3
        assert [order.number for order in found[:-1]] == list(range(len(parts)))
        assert found[-1] == orders[1]
        for plan in (Plan("csv", include=INCLUDABLE), Plan("sqlite")):
            assert parallel.share_out(db, orders, plan, 2) == orders
        ahead = parallel.share_out(db, orders, Plan("parquet"), 2)
        assert [order.ahead for order in ahead] == [True, False]


def test_one_table_into_one_file(database: Path, tmp_path: Path) -> None:
    export(database, tmp_path / "one.csv", "csv", 1, tables=(LARGEST,))
    export(database, tmp_path / "two.csv", "csv", 2, tables=(LARGEST,))
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.csv", "two.csv"]


@pytest.mark.parametrize("to", ["skip one", "back", "nowhere"])
@pytest.mark.parametrize("at", [1, 2])
def test_a_tree_whose_links_are_wrong_is_read_as_a_whole(
    database: Path, tmp_path: Path, to: str, at: int
) -> None:
    """Files and findings are the same, also where the link is the last one of a piece."""
    overlay = RunOverlay(database)
    table, leaves = widest_tree(Database(overlay))
    target = {"skip one": leaves[at + 2], "back": leaves[0], "nowhere": 0}[to]
    overlay.edit(leaves[at], lambda page: setattr(page, "next", target))
    copy = tmp_path / "copy.edb"
    data = bytearray(database.read_bytes())
    place = (leaves[at] + 1) * overlay.page_size
    data[place : place + overlay.page_size] = overlay.read_raw(leaves[at])
    copy.write_bytes(data)
    one = export(copy, tmp_path / "one", "csv", 1)
    many = export(copy, tmp_path / "many", "csv", 3)
    damaged = next(result for result in one.results if result.table == table.name)
    assert damaged.finding_count
    assert said(many.results) == said(one.results)
    assert files(tmp_path / "many") == files(tmp_path / "one")


@pytest.mark.parametrize("which", ["1.part", "3.part"])
def test_a_piece_that_fails(database: Path, tmp_path: Path, which: str) -> None:
    """The table is written as a whole then; nothing of the pieces stays."""
    export(database, tmp_path / "one", "csv", 1)
    env = Failing(f"{LARGEST}.csv.{which}", 10)
    report = export(database, tmp_path / "many", "csv", 2, env)
    assert not report.failed
    assert files(tmp_path / "many") == files(tmp_path / "one")


def test_what_is_broken_off_leaves_no_pieces(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(parallel, "join", stop)
    with pytest.raises(KeyboardInterrupt):
        export(database, tmp_path / "out", "csv", 2)
    assert not list((tmp_path / "out").glob("*.part"))
    monkeypatch.undo()
    export(database, tmp_path / "out", "csv", 2)
    export(database, tmp_path / "one", "csv", 1)
    assert files(tmp_path / "out") == files(tmp_path / "one")


def test_pieces_that_cannot_be_put_together(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise DiskFull("no space", file="x")

    monkeypatch.setattr(parallel, "join", full)
    report = export(database, tmp_path / "out", "csv", 2)
    assert LARGEST in [result.table for result in report.failed]
    assert not (tmp_path / "out" / f"{LARGEST}.csv").exists()
    assert not list((tmp_path / "out").glob("*.part"))
