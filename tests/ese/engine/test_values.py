"""What a value is on disk where it is not what was given: filled up, left out, a default."""

from __future__ import annotations

import pytest

from hotsplit.errors import InvalidUse, Jet
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.format.columns import Coltyp, Value
from hotsplit.ese.read.database import Database
from tests.ese.engine.judge import check_rules
from tests.ese.engine.test_tables import ID, PATH, PK, Rig, jet_of, rig

__all__ = ["rig"]

LAST = Column("Last", Coltyp.LONG)


@pytest.mark.parametrize(
    ("column", "whole"),
    [
        (Column("V", Coltyp.TEXT, size=5, fixed=True, default="ab", code_page=1252), "ab   "),
        (Column("V", Coltyp.TEXT, size=5, fixed=True, default="", code_page=1252), "     "),
        (Column("V", Coltyp.TEXT, size=8, fixed=True, default="ab"), "ab  "),
        (Column("V", Coltyp.BINARY, size=4, fixed=True, default=b"ab"), b"ab\0\0"),
    ],
)
def test_the_default_of_a_fixed_column_is_filled_up(rig: Rig, column: Column, whole: Value) -> None:
    """It is the same whether rows hold it or not, and so are the entries of indexes."""
    table = rig.table(ID, column, LAST, indexes=(PK, Index("v", ["V"])))
    table.insert({"Id": 1})
    table.insert({"Id": 2, "Last": 2})
    table.insert({"Id": 3, "V": column.default})
    table.insert_many([{"Id": 4}, {"Id": 5, "Last": 5}])
    for number in range(1, 6):
        table.update(table.bookmark(number), {"Last": 7})
    table.insert({"Id": 6})
    table.insert({"Id": 7})
    table.delete(table.bookmark(7))
    cursor = table.cursor("v")
    assert cursor.seek(column.default)
    assert len(list(table.rows("v"))) == 6
    rig.reopen()
    table = rig.session.open_table(rig.database, "T")
    table.update(table.bookmark(6), {"Last": 7})
    assert [row["V"] for row in table.rows()] == [whole] * 6
    assert [row["V"] for row in rig.on_disk()] == [whole] * 6
    check_rules(rig.env, PATH, but="")


def test_text_of_one_size_ends_with_blanks(rig: Rig) -> None:
    wide = Column("V", Coltyp.TEXT, size=7, fixed=True)
    table = rig.table(ID, wide, indexes=(PK, Index("v", ["V"])))
    table.insert({"Id": 1, "V": "ab"})
    table.insert_many([{"Id": 2, "V": "ab"}])
    table.insert({"Id": 3})
    table.update(table.bookmark(3), {"V": "ab"})
    cursor = table.cursor("v")
    assert cursor.seek("ab")
    stored = "ab ".encode("utf-16-le") + b" "
    assert [row["V"] for row in table.rows("v")] == [stored] * 3
    assert [row["V"] for row in rig.on_disk()] == [stored] * 3
    check_rules(rig.env, PATH, but="")


@pytest.mark.parametrize("default", [None, "a"])
def test_no_values_are_null(rig: Rig, default: Value) -> None:
    several = Column("V", Coltyp.TEXT, multi_valued=True, code_page=1252, default=default)
    table = rig.table(ID, several, indexes=(PK, Index("v", ["V"])))
    table.insert({"Id": 1, "V": []})
    table.insert_many([{"Id": 2, "V": []}, {"Id": 3, "V": ["b"]}])
    table.update(table.bookmark(3), {"V": []})
    assert [row["V"] for row in table.rows()] == [None] * 3
    assert [row["V"] for row in rig.on_disk()] == [None] * 3
    check_rules(rig.env, PATH, but="")


def test_no_values_are_not_allowed_where_null_is_not(rig: Rig) -> None:
    several = Column("V", Coltyp.LONG, multi_valued=True, not_null=True, default=1)
    table = rig.table(ID, several, indexes=(PK,))
    with pytest.raises(InvalidUse) as error:
        table.insert({"Id": 1, "V": []})
    assert jet_of(error) == Jet.errNullInvalid


def test_long_text_is_found_by_all_of_it(rig: Rig) -> None:
    """A key is made of the begin of a text, where some characters have no weight, or later."""
    wide = Column("V", Coltyp.LONG_TEXT)
    by_text = Index("v", ["V"]), Index("both", ["-V", "Id"])
    table = rig.table(ID, wide, indexes=(PK, *by_text))
    texts = ["a b-c" * 70, "x-" * 64, "-" + "abcdefg" * 40, "\xad" * 127 + "b"]
    for number, text in enumerate(texts):
        table.insert({"Id": number, "V": text})
    for index in by_text:
        cursor = table.cursor(index.name)
        for text in texts:
            assert cursor.seek(text)
            assert cursor.row()["V"] == text
            cursor.set_range((text,), (text,))
            assert cursor.first()
            cursor.set_range()
    table.insert_many({"Id": 10 + number, "V": text} for number, text in enumerate(texts))
    rig.instance.close()
    check_rules(rig.env, PATH, but="")
    with Database.open(rig.env, PATH) as database:
        for index in by_text:
            found = database.table("T").cursor(index.name)
            assert [found.seek(text) for text in texts] == [[n, t] for n, t in enumerate(texts)]


def test_nothing_is_added_to_null(rig: Rig) -> None:
    table = rig.table(ID, Column("Count", Coltyp.LONG, escrow=True, default=3), indexes=(PK,))
    mark = table.insert({"Id": 1, "Count": None})
    with pytest.raises(InvalidUse) as error:
        table.add(mark, "Count", 1)
    assert jet_of(error) == Jet.errNullInvalid
    assert table.get(1) == {"Id": 1, "Count": None}
    table.update(mark, {"Count": 4})
    table.add(mark, "Count", 1)
    assert table.get(1) == {"Id": 1, "Count": 5}
