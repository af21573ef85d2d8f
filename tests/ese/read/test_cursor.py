"""Cursors against the engine's own listing of every index; ranges against plain comparison."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hotsplit.errors import InvalidUse, ObjectNotFound
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.collation import KeyUnknown
from hotsplit.ese.format.columns import TEXT_TYPES, UTF16, DateTime
from hotsplit.ese.format.keys import record_key, unicode_key
from hotsplit.ese.read.cursor import _stored
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.pages import CountedPages
from tests.conftest import unpack_vector
from tests.ese.read.test_hostile import Overlay

SETS = ["crash-p4096-ckpt", "crash-p8192-w10", "crash-p32768-ckpt"]


@pytest.fixture(scope="module", params=SETS)
def database(request: pytest.FixtureRequest, shared: Path) -> Iterator[tuple[Database, Any]]:
    folder = unpack_vector(request.param)
    expected = json.loads((folder / "expected.json").read_text())
    with Database.open(OsEnv(), str(folder / "recovered" / "test.edb")) as db:
        yield db, expected


def test_rows_come_in_the_order_of_the_index(database: tuple[Database, Any]) -> None:
    db, expected = database
    checked = 0
    for wanted in expected["tables"]:
        table = db.table(wanted["name"])
        by_key = {row.key.hex(): row.values for row in table.records()}
        for index in wanted["indexes"]:
            rows = [by_key[bookmark] for _, bookmark in index["entries"]]
            with table.cursor(index["name"]) as cursor:
                assert list(cursor) == rows
                assert list(reversed(cursor)) == rows[::-1]
            checked += len(rows)
    assert checked > 100
    assert not db.reporter.findings


def test_keys_made_here_are_the_engine_s(database: tuple[Database, Any]) -> None:
    """Of every index with one value a row: all keys but those of Unicode text beyond ASCII."""
    db, expected = database
    made, unknown = 0, 0
    for wanted in expected["tables"]:
        table = db.table(wanted["name"])
        rows = {row.key.hex(): row.values for row in table.records()}
        for listed in wanted["indexes"]:
            index = table.index(listed["name"])
            columns = table.key_columns(index)
            places = [table.columns.index(column) for column in columns]
            if index.tuple_limits or any(c.is_tagged for c in columns):
                continue
            for key, bookmark in listed["entries"]:
                values = [rows[bookmark][place] for place in places]
                stored = [_stored(c, v) for c, v in zip(columns, values, strict=True)]
                try:
                    assert record_key(columns, index, stored).hex() == key
                    made += 1
                except KeyUnknown:
                    assert any(c.coltyp in TEXT_TYPES and c.code_page == UTF16 for c in columns)
                    unknown += 1
    assert made > 10 * unknown or made > 100


def test_ranges_are_what_comparing_gives(database: tuple[Database, Any]) -> None:
    db, _ = database
    table = db.table("Fixed")
    rows = sorted((row for row in table.values(["fDate", "k"]) if row[0]), key=_days)
    assert len(rows) >= 5
    low, high = rows[1][0], rows[-2][0]
    wanted = [row for row in rows if _days([low]) <= _days(row) <= _days([high])]
    cursor = table.cursor("i_date", ["fDate", "k"])
    assert [r[0] for r in cursor.range((low,), (high,))] == [r[0] for r in wanted]
    assert (
        list(cursor.range((low,), (high,), reverse=True))
        == list(cursor.range((low,), (high,)))[::-1]
    )
    assert [r[0] for r in cursor.range((low,))] == [r[0] for r in rows[1:]]
    assert [r[0] for r in cursor.range((), (high,)) if r[0]] == [r[0] for r in rows[:-1]]


def _days(row: list[Any]) -> float:
    assert isinstance(row[0], DateTime)
    return row[0].days


def test_seek_finds_each_row(database: tuple[Database, Any]) -> None:
    db, _ = database
    for name, key in (("Fixed", "k"), ("Counters", "name"), ("Wide", "k"), ("Derived", "k")):
        table = db.table(name)
        cursor = table.cursor()
        column = table.columns.index(table.column(key))
        rows: list[Any] = list(table.values())
        for row in rows:
            assert cursor.seek(row[column]) == row
        gone = max(row[column] for row in rows)
        assert cursor.seek(gone + 1 if isinstance(gone, int) else gone + "x") is None


def test_several_values_have_several_entries(database: tuple[Database, Any]) -> None:
    db, _ = database
    table = db.table("Tagged")
    rows: list[Any] = [r for r in table.values(["id", "tLong"]) if r[1]]
    cursor = table.cursor("i_mlong", ["id", "tLong"])
    for row in rows:
        for value in row[1][:1]:
            assert row in list(cursor.range((value,), (value,)))


def test_unicode_text_is_found_by_key_or_by_scanning(database: tuple[Database, Any]) -> None:
    """ASCII by the index; what lies beyond by comparing values, with a note."""
    db, _ = database
    table = db.table("Var")
    index = next(i for i in table.indexes if i.name == "i_uni_bin")
    by_key = by_scan = 0
    for row in table.values(["vUni", "k"]):
        if row[0] is None:
            continue
        before = db.reporter.counts.get("index", 0)
        found = list(table.cursor("i_uni_bin", ["vUni", "k"]).range((row[0],), (row[0],)))
        assert row in found
        if db.reporter.counts.get("index", 0) > before:
            by_scan += 1
            assert not str(row[0]).isascii()
        else:
            by_key += 1
    assert by_key + by_scan > 3
    assert index.locale
    db.reporter.findings.clear()
    db.reporter.counts.clear()


def test_sort_keys_of_the_specification(database: tuple[Database, Any]) -> None:
    """10.4: "Users", and a hyphen after eight characters."""
    db, _ = database
    index = next(i for i in db.table("Var").indexes if i.name == "i_uni_bin")
    assert unicode_key("Users", index).hex() == "0e9f0e910e210e8a0e910101010100"
    assert unicode_key("abcdefgh-", index).hex().endswith("fff7821200")
    assert unicode_key("USERS", index) == unicode_key("users", index)
    with pytest.raises(KeyUnknown):
        unicode_key("한", index)
    index.sort_id = b""
    index.locale = "sv-SE"
    with pytest.raises(KeyUnknown):
        unicode_key("a", index)
    index.locale = "en-US"


def test_what_does_not_fit_is_refused(database: tuple[Database, Any]) -> None:
    table = database[0].table("Fixed")
    with pytest.raises(ObjectNotFound):
        table.cursor("nobody")
    with pytest.raises(InvalidUse):
        table.cursor("pk").seek("text")
    with pytest.raises(InvalidUse):
        table.cursor("pk").seek(1, 2, 3)
    with pytest.raises(InvalidUse):
        database[0].table("NoPK").cursor().seek(1)
    assert len(list(database[0].table("NoPK").cursor())) == database[0].table("NoPK").count()


def test_entries_without_rows_are_told(shared: Path) -> None:
    overlay = Overlay(unpack_vector("crash-p4096-base") / "recovered" / "test.edb")
    table = Database(overlay).table("Fixed")
    leaf = next(table.tree().leaves())
    overlay.edit(leaf.number, lambda page: page.delete(0))
    db = Database(overlay)
    table = db.table("Fixed")
    index = next(i for i in table.indexes if not i.is_primary and len(list(table.entries(i))) > 3)
    rows = list(table.cursor(index.name))
    assert len(rows) == len(list(table.entries(index))) - db.reporter.counts.get("index", 0)
    assert db.reporter.counts["index"] >= 1


CONDITIONS: list[tuple[str, Any]] = [
    ("fLong > 0", lambda r: r["fLong"] is not None and r["fLong"] > 0),
    ("fBit = true", lambda r: r["fBit"] is True),
    ("fText ~ *a*", lambda r: r["fText"] is not None and "a" in r["fText"].lower()),
    ("fGuid is null", lambda r: r["fGuid"] is None),
    ("fBin is not null", lambda r: r["fBin"] is not None),
    ("fDate >= 1950-01-01", lambda r: r["fDate"] is not None and r["fDate"].days >= 18264),
    ("fDouble <= 0", lambda r: r["fDouble"] is not None and r["fDouble"] <= 0),
]


@pytest.mark.parametrize(("text", "test"), CONDITIONS)
def test_conditions(database: tuple[Database, Any], text: str, test: Any) -> None:
    table = database[0].table("Fixed")
    wanted = [row for row in table.rows() if test(row)]
    assert list(table.scan(where=[text])) == wanted
    only = [{"k": row["k"]} for row in wanted]
    assert list(table.scan(["k"], where=[text])) == only
    assert list(table.scan(["k"], where=[text], reverse=True)) == only[::-1]
    assert list(table.scan(["k"], where=[text, "k < 0"])) == []


def test_conditions_read_only_what_they_need(database: tuple[Database, Any]) -> None:
    """Long values of rows that do not meet a condition are not read."""
    pages: list[int] = []
    db = Database(CountedPages(database[0].source, pages.append))
    one = next(row[0] for row in db.table("LV").values(["n"]) if row[0] is not None)
    pages.clear()
    assert list(db.table("LV").scan(where=[f"n = {one!r}"]))
    few = sum(pages)
    pages.clear()
    list(db.table("LV").labelled())
    assert few < sum(pages) / 2


@pytest.mark.parametrize("text", ["fLong", "fLong = x", "= 5", "fDate > soon", "fGuid = 12"])
def test_what_is_no_condition(database: tuple[Database, Any], text: str) -> None:
    with pytest.raises(InvalidUse):
        list(database[0].table("Fixed").scan(where=[text]))
