"""Indexes of every kind: which entries they have, kept up to date, and refused where impossible."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit.errors import HotsplitError, InvalidUse, Jet, KeyDuplicate, Unsupported
from hotsplit.ese.engine.schema.definitions import Column, Index, Tuples
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.format.catalogschema import IndexFlag
from hotsplit.ese.format.columns import Coltyp, Value
from tests.ese.engine.judge import check_rules
from tests.ese.engine.test_tables import ID, NAME, PATH, PK, Rig

A = Column("A", Coltyp.LONG, multi_valued=True)
B = Column("B", Coltyp.LONG, multi_valued=True)
TEXT = Column("Text", Coltyp.LONG_TEXT, code_page=1252)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.instance.close()


def close_and_check(rig: Rig) -> None:
    rig.instance.close()
    check_rules(rig.env, PATH)


def ids(table: Table, index: str, *key: Value) -> list[Value]:
    """Ids of the rows whose key begins with these values."""
    cursor = table.cursor(index)
    cursor.set_range(key, key)
    found = []
    while cursor.move(1):
        found.append(cursor.row()["Id"])
    return sorted(found)  # type: ignore[type-var]


def entries(table: Table, index: str) -> int:
    cursor, count = table.cursor(index), 0
    while cursor.move(1):
        count += 1
    return count


def test_tuples_find_parts_of_texts(rig: Rig) -> None:
    index = Index("parts", ["Text"], tuples=Tuples(4, 4))
    table = rig.table(ID, TEXT, indexes=(PK, index))
    texts = {1: "a database engine", 2: "Engineers", 3: "gin", 4: "gine gine gine", 5: None}
    for number, text in texts.items():
        table.insert({"Id": number, "Text": text})
    assert ids(table, "parts", "gine") == [1, 2, 4]
    assert ids(table, "parts", "se e") == [1]
    assert ids(table, "parts", "gin") == []
    table.update(table.bookmark(2), {"Text": "Machines"})
    table.delete(table.bookmark(1))
    assert ids(table, "parts", "engi") == []
    assert ids(table, "parts", "CHIN") == [2]
    rig.reopen()
    table = rig.session.open_table(rig.database, "T")
    table.insert({"Id": 9, "Text": "chinese " * 2000})
    assert ids(table, "parts", "se c") == [9]
    table.delete(table.bookmark(4))
    close_and_check(rig)


@given(
    st.text("abc", max_size=40), st.integers(2, 5), st.integers(0, 5), st.integers(1, 3),
    st.integers(1, 9), st.integers(0, 4),
)  # fmt: skip
def test_tuples_are_those_of_the_definition(
    text: str, least: int, more: int, step: int, count: int, start: int
) -> None:
    rig = Rig()
    limits = Tuples(least, least + more, count, step, start)
    table = rig.table(ID, TEXT, indexes=(PK, Index("parts", ["Text"], tuples=limits)))
    table.insert({"Id": 1, "Text": text})
    starts = itertools.islice(range(start, len(text) - least + 1, step), count)
    assert entries(table, "parts") == len({text[at : at + least + more] for at in starts})
    rig.instance.close()


@pytest.mark.parametrize(
    ("index", "jet"),
    [
        (Index("t", ["Name"], unique=True, tuples=Tuples()), Jet.errIndexTuplesNonUniqueOnly),
        (Index("t", ["Id"], tuples=Tuples()), Jet.errIndexTuplesTextBinaryColumnsOnly),
        (Index("t", ["Name"], tuples=Tuples(5, 4)), Jet.errIndexTuplesInvalidLimits),
        (Index("t", ["Name"], tuples=Tuples(1, 4)), Jet.errIndexTuplesInvalidLimits),
        (Index("t", ["Name"], tuples=Tuples(count=0)), Jet.errIndexTuplesInvalidLimits),
        (Index("t", ["Nothing"]), Jet.errColumnNotFound),
        (Index("t", []), Jet.errIndexInvalidDef),
        (Index("t", ["Id"] * 17), Jet.errIndexInvalidDef),
        (Index("t", ["Id"], primary=True), Jet.errIndexInvalidDef),
        (Index("pk", ["Name"]), Jet.errIndexDuplicate),
    ],
)
def test_indexes_that_cannot_be(rig: Rig, index: Index, jet: Jet) -> None:
    table = rig.table(ID, NAME, indexes=(PK,))
    table.insert({"Id": 1, "Name": "x"})
    with pytest.raises(InvalidUse) as refused:
        rig.session.create_index(table, index)
    assert refused.value.jet == jet
    table.insert({"Id": 2, "Name": "y"})
    assert len(rig.on_disk()) == 2


@pytest.mark.parametrize("cross", [False, True])
def test_several_values_in_several_columns(rig: Rig, cross: bool) -> None:
    index = Index("ab", ["A", "B"], cross_product=cross)
    table = rig.table(ID, A, B, indexes=(PK, index))
    table.insert({"Id": 1, "A": [1, 2, 3], "B": [7, 8]})
    table.insert({"Id": 2, "A": [1], "B": None})
    table.insert({"Id": 3})
    assert entries(table, "ab") == (6 if cross else 3) + 2
    assert ids(table, "ab", 1, 8) == ([1] if cross else [])
    assert ids(table, "ab", 3, 7) == [1]
    table.update(table.bookmark(1), {"B": [8]})
    assert ids(table, "ab", 2, 8) == [1]
    assert ids(table, "ab", 3, 7) == []
    table.delete(table.bookmark(1))
    assert entries(table, "ab") == 2
    close_and_check(rig)


def test_a_unique_index_over_several_values(rig: Rig) -> None:
    table = rig.table(ID, A, indexes=(PK, Index("a", ["A"], unique=True, nulls=False)))
    table.insert({"Id": 1, "A": [1, 2]})
    with pytest.raises(KeyDuplicate) as twice:
        table.insert({"Id": 9, "A": [7, 8, 7]})
    assert twice.value.jet == Jet.errMultiValuedIndexViolation
    table.insert({"Id": 2, "A": [3]})
    table.insert({"Id": 3})
    with pytest.raises(KeyDuplicate):
        table.insert({"Id": 4, "A": [5, 2]})
    with pytest.raises(KeyDuplicate):
        table.update(table.bookmark(2), {"A": [3, 1]})
    assert ids(table, "a", 5) == []
    table.update(table.bookmark(1), {"A": [1]})
    table.insert({"Id": 4, "A": [5, 2]})
    assert [ids(table, "a", n) for n in (1, 2, 3, 5)] == [[1], [4], [2], [4]]
    close_and_check(rig)


def test_tables_with_indexes_of_other_kinds_are_not_changed(rig: Rig) -> None:
    table = rig.table(ID, NAME, indexes=(PK, Index("name", ["Name"])))
    table.insert({"Id": 1, "Name": "x"})
    catalog = rig.database.catalog
    objid = table.state.definition.objid
    index = table.state.definition.indexes[1]
    with rig.session.transaction():
        row = next(r for r in catalog.rows_of(rig.session, objid) if r["Name"] == "name")
        catalog.change(rig.session, row, {"Flags": index.flags | int(IndexFlag.NESTED_TABLE)})
    rig.reopen()
    table = rig.session.open_table(rig.database, "T")
    changes = (
        lambda: table.insert({"Id": 2}),
        lambda: table.delete(table.bookmark(1)),
        lambda: table.update(table.bookmark(1), {"Name": "y"}),
        lambda: rig.session.add_column(table, Column("New", Coltyp.LONG)),
    )
    for change in changes:
        with pytest.raises(Unsupported):
            change()
    assert table.get(1) == {"Id": 1, "Name": "x"}
    rig.session.begin()
    with pytest.raises(HotsplitError):
        table.insert({"Id": 2})
    rig.session.rollback()
