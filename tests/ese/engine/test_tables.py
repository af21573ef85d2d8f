"""Tables by the engine's own interface, in one process; what is on disk is for other tests."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator

import pytest

from hotsplit.errors import (
    HotsplitError,
    InvalidUse,
    Jet,
    KeyDuplicate,
    ObjectNotFound,
    RecordNotFound,
    WriteConflict,
)
from hotsplit.ese.engine.database import OpenDatabase
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.session import Session
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.format.columns import Coltyp, DateTime, Value
from hotsplit.ese.read.database import Database
from tests.ese.engine.judge import check_rules
from tests.ese.engine.shape import check_database
from tests.memoryenv import MemoryEnv

FOLDER = "/sg"
PATH = f"{FOLDER}/mail.edb"


class Rig:
    """An instance with one database, and how to look at it when it is closed."""

    def __init__(self, env: MemoryEnv | None = None) -> None:
        self.env = env or MemoryEnv()
        self.env.mkdir(FOLDER)
        self.settings = Settings(FOLDER, log_size=256 << 10)
        self.instance = Instance.open(self.env, self.settings)
        self.database: OpenDatabase = self.instance.create_database(PATH)
        self.session: Session = self.instance.session()

    def table(self, *columns: Column, indexes: tuple[Index, ...] = (), name: str = "T") -> Table:
        return self.session.create_table(self.database, name, columns, indexes)

    def reopen(self) -> None:
        self.instance.close()
        check_database(self.env, PATH)
        self.instance = Instance.open(self.env, self.settings)
        self.database = self.instance.attach_database(PATH)
        self.session = self.instance.session()

    def on_disk(self, name: str = "T") -> list[dict[str, Value]]:
        self.instance.close()
        check_database(self.env, PATH)
        with Database.open(self.env, PATH) as database:
            return [dict(row) for row in database.table(name).rows()]


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.instance.close()


ID = Column("Id", Coltyp.LONG, not_null=True)
NAME = Column("Name", Coltyp.TEXT, code_page=1252)
PK = Index("pk", ["Id"], primary=True)


def jet_of(error: pytest.ExceptionInfo[HotsplitError]) -> Jet | None:
    return error.value.jet


# Values

EVERY_TYPE: dict[Coltyp, list[Value]] = {
    Coltyp.BIT: [True, False],
    Coltyp.UNSIGNED_BYTE: [0, 255],
    Coltyp.SHORT: [-32768, 32767],
    Coltyp.LONG: [-(1 << 31), (1 << 31) - 1],
    Coltyp.CURRENCY: [-(1 << 63), (1 << 63) - 1],
    Coltyp.IEEE_SINGLE: [0.5, -2.25],
    Coltyp.IEEE_DOUBLE: [1e300, -0.1],
    Coltyp.GUID: [uuid.UUID(int=1), uuid.UUID(int=(1 << 128) - 1)],
    Coltyp.BINARY: [b"", b"\0\xff" * 100],
    Coltyp.TEXT: ["", "Grüße \u2713"],
    Coltyp.LONG_BINARY: [b"", b"x", bytes(range(256)) * 200],
    Coltyp.LONG_TEXT: ["", "short", "long \u4e2d" * 9000],
    Coltyp.UNSIGNED_LONG: [0, (1 << 32) - 1],
    Coltyp.LONG_LONG: [-1, (1 << 63) - 1],
    Coltyp.UNSIGNED_SHORT: [0, 65535],
}


@pytest.mark.parametrize("tagged", [False, True])
@pytest.mark.parametrize("coltyp", EVERY_TYPE)
def test_values_of_every_type(rig: Rig, coltyp: Coltyp, tagged: bool) -> None:
    table = rig.table(ID, Column("V", coltyp, tagged=tagged), indexes=(PK,))
    values = [*EVERY_TYPE[coltyp], None]
    for number, value in enumerate(values):
        table.insert({"Id": number, "V": value})
    assert [row["V"] for row in table.rows()] == values
    table.update(table.bookmark(0), {"V": values[1]})
    assert [row["V"] for row in rig.on_disk()] == [values[1], *values[1:]]


def test_dates(rig: Rig) -> None:
    when = Index("when", ["When"])
    table = rig.table(ID, Column("When", Coltyp.DATE_TIME), indexes=(PK, when))
    moments = [
        dt.datetime(2001, 2, 3, 4, 5, 6),
        dt.datetime(1850, 12, 31, 18),
        dt.datetime(2999, 7, 8),
    ]
    for number, moment in enumerate(moments):
        table.insert({"Id": number, "When": DateTime.of(moment)})
        table.insert({"Id": number + 10, "When": moment})
        cursor = table.cursor("when")
        assert cursor.seek(moment)
        assert cursor.row()["Id"] == number
    there = dt.timezone(dt.timedelta(hours=2))
    table.insert_many([(20, moments[0].replace(tzinfo=there))], ["Id", "When"])
    table.update(table.bookmark(20), {"When": moments[0].replace(hour=6, tzinfo=there)})
    moments += [*moments, moments[0]]
    with pytest.raises(InvalidUse):
        table.insert({"Id": moments[0]})
    found = [str(row["When"]) for row in rig.on_disk()]
    assert found == [moment.isoformat(timespec="seconds") for moment in moments]


def test_counters_of_a_copy(rig: Rig) -> None:
    """As the published engine has them after JET_prepInsertCopy."""
    table = rig.table(
        ID,
        Column("Number", Coltyp.LONG, autoincrement=True),
        Column("Version", Coltyp.LONG, version=True),
        Column("Hits", Coltyp.LONG, escrow=True, default=0),
        indexes=(PK,),
    )
    mark = table.insert({"Id": 1})
    table.add(mark, "Hits", 7)
    table.update(mark, {})
    table.update(mark, {})
    other = rig.instance.session()
    other.begin()
    other.open_table(rig.database, "T").add(mark, "Hits", 100)
    table.copy(mark, {"Id": 2})
    table.copy(mark, {"Id": 3, "Hits": 99, "Version": 3})
    other.rollback()
    other.close()
    assert [tuple(row.values()) for row in table.rows()] == [
        (1, 1, 2, 7),
        (2, 2, 0, 7),
        (3, 3, 3, 99),
    ]


def test_defaults_counters_and_versions(rig: Rig) -> None:
    table = rig.table(
        Column("Id", Coltyp.LONG, autoincrement=True, not_null=True),
        Column("Version", Coltyp.LONG, version=True),
        Column("Hits", Coltyp.LONG, escrow=True, default=10),
        Column("Colour", Coltyp.TEXT, default="grey"),
        indexes=(PK,),
    )
    marks = [table.insert({}) for _ in range(3)]
    table.insert({"Id": 100})
    table.insert({"Colour": "red"})
    assert [row["Id"] for row in table.rows()] == [1, 2, 3, 100, 101]
    assert [row["Colour"] for row in table.rows()] == ["grey"] * 4 + ["red"]
    first = table.row(marks[0])
    assert first is not None
    table.update(marks[0], {"Colour": "blue"})
    table.add(marks[0], "Hits", -3)
    changed = table.row(marks[0])
    assert changed is not None
    assert first["Version"] == 0
    assert (changed["Version"], changed["Hits"]) == (1, 7)
    with pytest.raises(InvalidUse) as error:
        table.update(marks[0], {"Version": 9})
    assert jet_of(error) == Jet.errInvalidColumnType
    table.update(table.insert({"Id": 50, "Version": 2**31 - 1}), {"Colour": "green"})
    assert [r["Version"] for r in table.rows() if r["Id"] == 50] == [-(2**31)]
    table.delete(table.bookmark(50))
    rig.reopen()
    table = rig.session.open_table(rig.database, "T")
    table.insert({})
    assert [row["Id"] for row in table.rows()] == [1, 2, 3, 100, 101, 102]


def test_several_values_in_one_column(rig: Rig) -> None:
    to = Column("To", Coltyp.TEXT, code_page=1252, multi_valued=True)
    table = rig.table(ID, to, indexes=(PK, Index("to", ["To"])))
    table.insert({"Id": 1, "To": ["b", "a", "c"]})
    table.insert({"Id": 2, "To": ["a"]})
    table.insert({"Id": 3})
    table.update(table.bookmark(1), {"To": ["c", "d"]})
    cursor, found = table.cursor("to"), []
    while cursor.move(1):
        found.append(cursor.row()["Id"])
    assert found == [3, 2, 1, 1]
    assert rig.on_disk()[0]["To"] == ["c", "d"]


def test_long_values_go_with_their_rows(rig: Rig) -> None:
    table = rig.table(
        ID, Column("Body", Coltyp.LONG_TEXT, compressed=True), Column("Raw", Coltyp.LONG_BINARY),
        indexes=(PK,),
    )  # fmt: skip
    for number in range(6):
        table.insert({"Id": number, "Body": "body " * 4000, "Raw": bytes([number]) * 30000})
    table.update(table.bookmark(0), {"Raw": b"small"})
    table.update(table.bookmark(1), {"Raw": b"n" * 50000})
    for number in (2, 3, 4):
        table.delete(table.bookmark(number))
    rig.reopen()
    rig.instance.close()
    shape = check_database(rig.env, PATH)
    starts = [node for node in shape.nodes["T/LV"] if len(node.key) == 4]
    assert len(starts) == 3 + 2  # a body each of rows 0, 1, 5; the raw of rows 1 and 5


# Keys, indexes, cursors


def test_rows_without_primary_index_keep_their_order(rig: Rig) -> None:
    table = rig.table(NAME)
    for name in ("one", "two", "three"):
        table.insert({"Name": name})
    rig.reopen()
    table = rig.session.open_table(rig.database, "T")
    table.insert({"Name": "four"})
    assert [row["Name"] for row in table.rows()] == ["one", "two", "three", "four"]


@pytest.mark.parametrize("unique", [True, False])
def test_duplicates(rig: Rig, unique: bool) -> None:
    table = rig.table(ID, NAME, indexes=(PK, Index("name", ["Name"], unique=unique)))
    table.insert({"Id": 1, "Name": "same"})
    with pytest.raises(KeyDuplicate) as error:
        table.insert({"Id": 1, "Name": "other"})
    assert jet_of(error) == Jet.errKeyDuplicate
    if unique:
        with pytest.raises(KeyDuplicate):
            table.insert({"Id": 2, "Name": "SAME"})  # keys of text do not know case
    else:
        table.insert({"Id": 2, "Name": "SAME"})
    assert len(rig.on_disk()) == (1 if unique else 2)


def test_descending_and_several_columns(rig: Rig) -> None:
    table = rig.table(
        ID, NAME, Column("Size", Coltyp.LONG), indexes=(PK, Index("i", ["-Size", "Name"]))
    )
    rows: list[tuple[int | None, str]] = [(3, "b"), (3, "a"), (None, "x"), (-7, "c"), (90, "z")]
    for number, (size, name) in enumerate(rows):
        table.insert({"Id": number, "Size": size, "Name": name})
    found = [(row["Size"], row["Name"]) for row in table.rows("i")]
    assert found == [(90, "z"), (3, "a"), (3, "b"), (-7, "c"), (None, "x")]


def test_conditional_indexes(rig: Rig) -> None:
    table = rig.table(
        ID, NAME, indexes=(PK, Index("named", ["Id"], conditions=["Name"]),
                           Index("nameless", ["Id"], conditions=["!Name"])),
    )  # fmt: skip
    table.insert({"Id": 1, "Name": "x"})
    mark = table.insert({"Id": 2})
    assert [row["Id"] for row in table.rows("named")] == [1]
    assert [row["Id"] for row in table.rows("nameless")] == [2]
    table.update(mark, {"Name": "y"})
    assert [row["Id"] for row in table.rows("named")] == [1, 2]
    assert not list(table.rows("nameless"))


def test_cursor_seeks_moves_and_changes(rig: Rig) -> None:
    table = rig.table(ID, NAME, indexes=(PK, Index("name", ["Name"])))
    with rig.session.transaction():
        for number in range(0, 1000, 2):
            table.insert({"Id": number, "Name": f"n{number % 10}"})
    cursor = table.cursor()
    assert cursor.seek(500)
    assert cursor.row()["Id"] == 500
    assert not cursor.seek(501)
    assert cursor.seek_from(501)
    assert cursor.row()["Id"] == 502
    assert cursor.move(-1)
    assert cursor.row()["Id"] == 500
    cursor.delete()
    assert cursor.move(1)
    assert cursor.row()["Id"] == 502
    cursor.update(Name="changed")
    assert cursor.row()["Name"] == "changed"
    assert cursor.last()
    assert cursor.row()["Id"] == 998
    assert not cursor.move(1)
    cursor.set_range((100,), (110,))
    found = []
    while cursor.move(1):
        found.append(cursor.row()["Id"])
    assert found == [100, 102, 104, 106, 108, 110]
    by_name = table.cursor("name")
    assert by_name.seek("changed")
    with pytest.raises(RecordNotFound):
        _ = table.cursor().bookmark


@pytest.mark.parametrize("index", [None, "name"])
def test_a_search_that_finds_nothing_ends_between_rows(rig: Rig, index: str | None) -> None:
    table = rig.table(ID, NAME, indexes=(PK, Index("name", ["Name"])))
    table.insert_many({"Id": n, "Name": f"n{n}"} for n in (1, 3, 5, 7))
    cursor = table.cursor(index)

    def seek(number: int) -> bool:
        return cursor.seek(number if index is None else f"n{number}")

    for use in (cursor.row, cursor.delete, lambda: cursor.update(Name="x"), lambda: cursor.key):
        assert not seek(4)
        with pytest.raises(RecordNotFound) as error:
            use()
        assert jet_of(error) == Jet.errNoCurrentRecord
    assert cursor.move(1)
    assert cursor.row()["Id"] == 5
    assert not seek(4)
    table.insert({"Id": 4, "Name": "n4"})
    assert cursor.move(-1)
    assert cursor.row()["Id"] == 3
    assert not seek(2)
    table.insert({"Id": 2, "Name": "n2"})
    assert cursor.move(1)
    assert cursor.row()["Id"] == 2
    assert not seek(0)
    assert not cursor.move(-1)
    assert cursor.move(1)
    assert cursor.row()["Id"] == 1
    assert not seek(9)
    assert cursor.move(-1)
    assert cursor.row()["Id"] == 7


@pytest.mark.parametrize("marked", [False, True])
def test_a_number_that_an_update_gives_is_not_given_again(rig: Rig, marked: bool) -> None:
    """marked: as in databases of later engines, that keep the mark in the root page."""
    counter = Column("Number", Coltyp.LONG, autoincrement=True)
    table = rig.table(ID, counter, indexes=(PK, Index("n", ["Number"], unique=True)))
    table.insert({"Id": 1})
    if marked:
        tree = table.state.tree
        with rig.session.transaction():
            rig.session.prepare()
            tree.set_external(rig.session, tree.space.header._replace(autoincrement=1).pack())
    table.update(table.bookmark(1), {"Number": 100})
    table.insert({"Id": 2})
    rig.reopen()
    table = rig.session.open_table(rig.database, "T")
    table.update(table.bookmark(1), {"Number": 500})
    table.insert({"Id": 3})
    numbers = [row["Number"] for row in rig.on_disk()]
    assert numbers == [500, 101, 501]
    check_rules(rig.env, PATH)


def test_a_cursor_sees_what_others_committed_since_it_moved(rig: Rig) -> None:
    body = Column("Body", Coltyp.LONG_BINARY)
    table = rig.table(ID, NAME, body, indexes=(PK, Index("name", ["Name"])))
    for number in range(6):
        table.insert({"Id": number, "Name": f"n{number}", "Body": b"b" * 5000})
    with rig.instance.session() as other:
        theirs = other.open_table(rig.database, "T")
        cursor, by_name = table.cursor(), table.cursor("name")
        with rig.session.transaction():
            assert cursor.seek(1)
            assert cursor.row()["Name"] == "n1"
        assert by_name.seek("n2")
        theirs.update(theirs.bookmark(1), {"Name": "theirs", "Body": b"c" * 9000})
        theirs.delete(theirs.bookmark(3))
        while rig.instance.idle():
            pass
        with rig.session.transaction():  # its view is of now: nothing of theirs is to get lost
            assert cursor.row() == {"Id": 1, "Name": "theirs", "Body": b"c" * 9000}
            cursor.update(Name=f"{cursor.row()['Name']}, too")
        assert theirs.row(theirs.bookmark(1)) == cursor.row()
        assert [cursor.move(1), cursor.move(1)] == [True, True]
        assert cursor.row()["Id"] == 4
        assert by_name.move(1)
        assert by_name.row()["Id"] == 4
        with rig.session.transaction():
            assert cursor.seek(5)
            theirs.delete(theirs.bookmark(5))
            assert cursor.row()["Id"] == 5
        with pytest.raises(RecordNotFound) as error:
            cursor.row()
        assert error.value.jet == Jet.errRecordDeleted


def test_index_and_column_of_a_table_with_rows(rig: Rig) -> None:
    table = rig.table(ID, NAME, indexes=(PK,))
    for number in range(300):
        table.insert({"Id": number, "Name": f"name {number % 3}"})
    rig.session.create_index(table, Index("name", ["Name"]))
    rig.session.add_column(table, Column("Size", Coltyp.LONG, default=4))
    table.update(table.bookmark(7), {"Size": 9})
    assert [row["Name"] for row in table.rows("name")] == sorted(
        f"name {n % 3}" for n in range(300)
    )
    rows = {row["Id"]: row["Size"] for row in rig.on_disk()}
    assert (rows[7], rows[8]) == (9, 4)


# Transactions


def test_a_transaction_sees_what_was_when_it_began(rig: Rig) -> None:
    table = rig.table(ID, NAME, indexes=(PK, Index("name", ["Name"])))
    for number in range(3):
        table.insert({"Id": number, "Name": "old"})
    with rig.instance.session() as other:
        view = other.open_table(rig.database, "T")
        with other.transaction():
            with rig.session.transaction():
                table.update(table.bookmark(0), {"Name": "new"})
                table.delete(table.bookmark(1))
                table.insert({"Id": 9, "Name": "new"})
            assert [row["Id"] for row in view.rows()] == [0, 1, 2]
            assert [row["Name"] for row in view.rows("name")] == ["old"] * 3
            assert view.get(9) is None
            for mark in (view.bookmark(0), view.bookmark(1)):
                with pytest.raises(WriteConflict) as error:
                    view.update(mark, {"Name": "mine"})
                assert jet_of(error) == Jet.errWriteConflict
            view.update(view.bookmark(2), {"Name": "mine"})
        assert [(row["Id"], row["Name"]) for row in view.rows()] == [
            (0, "new"), (2, "mine"), (9, "new"),
        ]  # fmt: skip


@pytest.mark.parametrize("value", ["1", 1.5, None, 1 << 31, -(1 << 31) - 1])
def test_what_cannot_be_added_is_no_damage(rig: Rig, value: object) -> None:
    table = rig.table(ID, Column("Hits", Coltyp.LONG, escrow=True, default=3), indexes=(PK,))
    mark = table.insert({"Id": 1})
    with pytest.raises(InvalidUse) as error:
        table.add(mark, "Hits", value)  # type: ignore[arg-type]
    assert jet_of(error) == Jet.errInvalidColumnType
    assert table.get(1) == {"Id": 1, "Hits": 3}


def test_escrow_changes_do_not_exclude_each_other(rig: Rig) -> None:
    table = rig.table(ID, Column("Hits", Coltyp.LONG, escrow=True, default=0), indexes=(PK,))
    mark = table.insert({"Id": 1})
    with rig.instance.session() as other:
        view = other.open_table(rig.database, "T")
        rig.session.begin()
        other.begin()
        table.add(mark, "Hits", 5)
        view.add(mark, "Hits", 7)
        assert [t.get(1) for t in (table, view)] == [{"Id": 1, "Hits": 5}, {"Id": 1, "Hits": 7}]
        rig.session.rollback()
        other.commit()
    assert table.get(1) == {"Id": 1, "Hits": 7}


def test_nested_transactions(rig: Rig) -> None:
    table = rig.table(ID, NAME, indexes=(PK,))
    session = rig.session
    with session.transaction():
        table.insert({"Id": 1, "Name": "kept"})
        with pytest.raises(KeyError), session.transaction():
            table.update(table.bookmark(1), {"Name": "lost"})
            with session.transaction():
                table.insert({"Id": 2})
            raise KeyError
        with session.transaction():
            table.insert({"Id": 3})
    assert [(row["Id"], row["Name"]) for row in rig.on_disk()] == [(1, "kept"), (3, None)]


def test_a_failed_statement_changes_nothing(rig: Rig) -> None:
    table = rig.table(ID, NAME, indexes=(PK, Index("name", ["Name"], unique=True, nulls=False)))
    with rig.session.transaction():
        table.insert({"Id": 1, "Name": "a"})
        with pytest.raises(KeyDuplicate):
            table.insert({"Id": 2, "Name": "a"})
        table.insert({"Id": 3, "Name": "b"})
    assert [row["Id"] for row in rig.on_disk()] == [1, 3]


def test_a_rolled_back_table_is_not_there(rig: Rig) -> None:
    session = rig.session
    session.begin()
    table = session.create_table(rig.database, "Gone", [ID], [PK])
    table.insert({"Id": 1})
    session.rollback()
    with pytest.raises(ObjectNotFound):
        table.insert({"Id": 2})
    session.create_table(rig.database, "Gone", [ID, NAME], [PK]).insert({"Id": 5, "Name": "x"})
    assert rig.on_disk("Gone") == [{"Id": 5, "Name": "x"}]


# Wrong use


@pytest.mark.parametrize(
    ("values", "jet"),
    [
        ({"Id": 1, "None": 1}, Jet.errColumnNotFound),
        ({"Name": "no id"}, Jet.errNullInvalid),
        ({"Id": "text"}, Jet.errInvalidColumnType),
        ({"Id": 1 << 40}, Jet.errInvalidColumnType),
        ({"Id": 1, "Name": "x" * 256}, Jet.errColumnTooBig),
        ({"Id": 1, "Name": "\u4e2d"}, Jet.errInvalidColumnType),
    ],
)
def test_rows_that_cannot_be(rig: Rig, values: dict[str, Value], jet: Jet) -> None:
    table = rig.table(ID, NAME, indexes=(PK,))
    with pytest.raises(InvalidUse) as error:
        table.insert(values)
    assert jet_of(error) == jet
    assert not rig.on_disk()


@pytest.mark.parametrize(
    "columns",
    [
        [ID, Column("id", Coltyp.LONG)],
        [Column("", Coltyp.LONG)],
        [Column("a!b", Coltyp.LONG)],
        [Column("x", Coltyp.LONG, multi_valued=True, fixed=True, escrow=True, default=0)],
        [Column("x", Coltyp.LONG, compressed=True)],
        [Column("x", Coltyp.LONG, fixed=False)],
        [Column("x", Coltyp.TEXT, default="x" * 128)],  # of two bytes each
        [Column("x", Coltyp.BINARY, size=3, fixed=True, default=b"1234")],
        [Column("x", Coltyp.LONG_BINARY, default=b"x" * 256)],
        [Column("x", Coltyp.TEXT, code_page=932)],
        [Column("x", Coltyp.LONG, tagged=True, autoincrement=True)],
        [Column("x", Coltyp.TEXT, size=300)],
        [Column(f"c{n}", Coltyp.LONG) for n in range(128)],
    ],
)
def test_tables_that_cannot_be(rig: Rig, columns: list[Column]) -> None:
    with pytest.raises(InvalidUse):
        rig.session.create_table(rig.database, "Wrong", columns)
    assert rig.database.table_names() == []


def test_uses_of_sessions_that_cannot_be(rig: Rig) -> None:
    table = rig.table(ID, indexes=(PK,))
    with pytest.raises(RecordNotFound):
        table.delete(table.bookmark(1))
    with pytest.raises(RecordNotFound):
        table.update(table.bookmark(1), {"Id": 2})
    with pytest.raises(InvalidUse):
        rig.session.commit()
    for _ in range(7):
        rig.session.begin()
    with pytest.raises(InvalidUse) as error:
        rig.session.begin()
    assert jet_of(error) == Jet.errTransTooDeep


def test_keys_of_unicode_text_are_those_that_searches_in_files_make(rig: Rig) -> None:
    text = Column("U", Coltyp.TEXT, code_page=1200)
    table = rig.table(ID, text, indexes=(PK, Index("u", ["U"])))
    words = ["z", "É", "e", "Grüße", "gruss", "b"]
    for number, word in enumerate(words):
        table.insert({"Id": number, "U": word})
    with pytest.raises(InvalidUse) as error:
        table.insert({"Id": 99, "U": "\u4e2d"})
    assert jet_of(error) == Jet.errUnicodeNormalizationNotSupported
    order = ["b", "e", "É", "gruss", "Grüße", "z"]
    assert [row["U"] for row in table.rows("u")] == order
    rig.reopen()
    table = rig.session.open_table(rig.database, "T")
    table.insert({"Id": 7, "U": "ê"})
    rig.instance.close()
    with Database.open(rig.env, PATH) as database:
        cursor = database.table("T").cursor("u")
        for word in words:
            assert cursor.seek(word)
