"""Rows and remains by conditions and in the order of an index; seeks in tuple indexes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.catalogschema import TupleLimits
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.labels import State
from hotsplit.ese.read.table import Table
from hotsplit.ese.read.where import parse_condition, within
from tests.conftest import unpack_vector

ALL = frozenset({State.DELETED, State.ORPHANED, State.CARVED})
_UNKNOWN_VERSION = 0x100  # of Windows XP: no keys can be made


@pytest.fixture
def db(shared: Path) -> Iterator[Database]:
    path = unpack_vector("crash-p4096-ckpt") / "recovered" / "test.edb"
    with Database.open(OsEnv(), str(path)) as db:
        yield db


def _with_remains(db: Database) -> Table:
    return max(
        map(db.table, ("Counters", "Tagged", "Fixed")),
        key=lambda table: sum(not _is_live(row) for row in table.labelled(include=ALL)),
    )


def _is_live(row: Any) -> bool:
    return bool(row.origin.label.state is State.LIVE)


def test_conditions_hold_for_remains_too(db: Database) -> None:
    table = _with_remains(db)
    column = table.columns[0]
    everything: list[Any] = list(table.labelled(include=ALL))
    one = next(row.values[0] for row in everything if not _is_live(row) and row.values[0])
    found = list(table.labelled(include=ALL, where=[f"{column.name} = {one}"]))
    fold = str(one).casefold()
    assert found == [r for r in everything if str(r.values[0]).casefold() == fold]
    assert any(not _is_live(row) for row in found)


@pytest.mark.parametrize("reverse", [False, True])
def test_live_rows_in_order_then_the_others(db: Database, reverse: bool) -> None:
    table = db.table("Fixed")
    everything: list[Any] = list(table.labelled(include=ALL))
    live = [row for row in everything if _is_live(row)]
    others = [row for row in everything if not _is_live(row)]
    found = list(table.labelled(include=ALL, index="i_date", reverse=reverse))
    wanted = list(table.cursor("i_date").range(reverse=reverse))
    assert [row.values for row in found[: len(live)]] == wanted
    assert found[len(live) :] == others
    places = {row.key: row.origin for row in live}
    assert all(places[row.key] == row.origin for row in found[: len(live)])


def test_limits_hold_for_remains_too(db: Database) -> None:
    table = db.table("Fixed")
    k = table.columns.index(table.column("k"))
    everything: list[Any] = list(table.labelled(include=ALL))
    keys = sorted(row.values[k] for row in everything)
    low, high = keys[len(keys) // 4], keys[3 * len(keys) // 4]
    found: list[Any] = list(table.labelled(include=ALL, start=(low,), stop=(high,)))
    assert found == [row for row in everything if low <= row.values[k] <= high]


def test_the_scan_that_stands_in_gives_the_rows_of_the_index(db: Database) -> None:
    """Text of a sort version that is not known: the same rows, in the order of the table."""
    table = db.table("Var")
    index = table.index("i_uni_bin")
    for row in list(table.values(["vUni"]))[:20]:
        limits = (row[0],), (row[0],)
        by_index = list(table.cursor("i_uni_bin").range(*limits))
        placed = list(table.labelled(index="i_uni_bin", start=limits[0], stop=limits[1]))
        known, index.sort_version = index.sort_version, _UNKNOWN_VERSION
        before = db.reporter.counts.get("index", 0)
        by_scan = list(table.cursor("i_uni_bin").range(*limits))
        again = list(table.labelled(index="i_uni_bin", start=limits[0], stop=limits[1]))
        backwards = list(table.cursor("i_uni_bin").range(*limits, reverse=True))
        index.sort_version = known
        assert _sorted(by_scan) == _sorted(by_index) != []
        assert backwards == by_scan[::-1]
        assert _sorted(r.values for r in placed) == _sorted(r.values for r in again)
        if row[0] is not None:
            assert db.reporter.counts["index"] > before


def _sorted(rows: Any) -> list[str]:
    return sorted(map(repr, rows))


def test_several_values_are_found_by_each(db: Database) -> None:
    """By the index and by comparing: every value of a row leads to it, not only the first."""
    table = db.table("Tagged")
    index = table.index("i_mtext")
    rows: list[Any] = [row for row in table.values(["id", "tText"]) if isinstance(row[1], list)]
    texts = {value: row for row in rows for value in row[1][1:] if value}
    assert len(texts) > 5
    for text in list(texts)[:10]:
        cursor = table.cursor("i_mtext", ["id", "tText"])
        by_index = {row[0] for row in cursor.range((text,), (text,))}
        known, index.sort_version = index.sort_version, _UNKNOWN_VERSION
        by_scan = {row[0] for row in cursor.range((text,), (text,))}
        index.sort_version = known
        assert texts[text][0] in by_index & by_scan


def test_parts_of_text_are_found_in_a_tuple_index(db: Database) -> None:
    table = db.table("Tagged")
    rows: list[Any] = [row for row in table.values(["id", "tAscii"]) if row[1]]
    cursor = table.cursor("i_tuple", ["id", "tAscii"])
    for row in rows[:8]:
        text = row[1][0] if isinstance(row[1], list) else row[1]
        for part in (text[2:12], text[1:40], text[-3:]):
            if len(part) >= 3:
                found = list(cursor.range((part,), (part,)))
                assert row in found
                shown = part[:10].upper()
                assert all(shown in repr(r[1]).upper() for r in found)


def test_parts_of_a_text() -> None:
    limits = TupleLimits(3, 5, 4, 2, 1)
    assert limits.parts("abcdefghijklmnop") == ["bcdef", "defgh", "fghij", "hijkl"]
    assert limits.parts("abcdef") == ["bcdef", "def"]
    assert limits.parts("abc") == []
    assert TupleLimits(1, 2, 9, 1, 0).parts("aaaa") == ["aa", "a"]


def test_limits_of_several_columns() -> None:
    assert within([1, "b"], (1, "A"), (1, "B"))
    assert not within([1, "c"], (1, "A"), (1, "B"))
    assert within([1, None], (1,), (1, None))
    assert within([[9, 5], 0], (4,), (6,))
    assert not within([[9, 3], 0], (4,), (6,))
    assert not within([b"x"], ("a",), ())


def test_one_condition_or_column_may_stand_alone(db: Database) -> None:
    """A single text is one name or one condition, not one for each of its letters."""
    table = db.table("Counters")
    several = list(table.scan(["auto"], where=["auto > 3"]))
    assert several
    assert list(table.scan("auto", where="auto > 3")) == several
    condition = parse_condition("auto > 3", table.column)
    assert list(table.scan(["auto"], where=condition)) == several
    assert [row.values for row in table.labelled("auto", where="auto > 3")] == [
        list(row.values()) for row in several
    ]
