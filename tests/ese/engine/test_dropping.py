"""Tables, indexes and columns that go, and new names: with transactions, readers and crashes."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import cast

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
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.session import Session
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.engine.tables.tablestate import TableState
from hotsplit.ese.engine.trees.versions import Version
from hotsplit.ese.engine.upkeep.maintenance import defragment, trees_of
from hotsplit.ese.format.columns import Coltyp, Value
from hotsplit.ese.format.space import Extent
from hotsplit.ese.read.database import Database
from tests.ese.engine.crashes import Watched
from tests.ese.engine.judge import check_rules
from tests.ese.engine.shape import check_database
from tests.ese.engine.test_tables import ID, NAME, PATH, PK, Rig
from tests.memoryenv import Crash

BODY = Column("Body", Coltyp.LONG_BINARY)
SIZE = Column("Size", Coltyp.LONG)
TEXT = Column("Text", Coltyp.TEXT)
BY_NAME = Index("name", ["Name"], unique=True)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.instance.close()


def filled(rig: Rig, count: int = 300, name: str = "T") -> Table:
    table = rig.table(ID, NAME, SIZE, BODY, indexes=(PK, BY_NAME), name=name)
    with rig.session.transaction():
        for number in range(count):
            table.insert({"Id": number, "Name": f"n{number}", "Body": b"b" * (20 * number)})
    return table


def free_pages(rig: Rig) -> int:
    """Pages of the database that no tree has."""
    space = rig.database.root.space
    return sum(extent.pages for extent in space.extents(space.available))


def owned_pages(rig: Rig) -> set[int]:
    space = rig.database.root.space
    return {page for extent in space.extents(space.owned) for page in pages(extent)}


def pages(extent: Extent) -> range:
    return range(extent.first, extent.last + 1)


def catalog_rows(rig: Rig) -> int:
    """Rows of both catalogs, of their indexes and of MSysObjids."""
    shape = check_database(rig.env, PATH)
    trees = ("MSysObjects", "MSysObjectsShadow", "MSysObjects/Name", "MSysObjids")
    return sum(not node.is_deleted for name in trees for node in shape.nodes[name])


# Tables


def test_a_table_goes_with_its_space(rig: Rig) -> None:
    filled(rig, 1, "Other")
    rig.reopen()
    before, rows = free_pages(rig), catalog_rows(rig)
    owned = owned_pages(rig)
    filled(rig)
    rig.session.drop_table(rig.database, "T")
    rig.reopen()
    assert catalog_rows(rig) == rows
    assert free_pages(rig) - before == len(owned_pages(rig) - owned)
    with pytest.raises(ObjectNotFound):
        rig.session.open_table(rig.database, "T")
    owned = owned_pages(rig)
    filled(rig)  # the name is free, and so is the space
    assert owned_pages(rig) == owned
    assert len(rig.on_disk()) == 300


def test_a_table_goes_in_the_transaction_of_its_first_long_value(rig: Rig) -> None:
    rig.reopen()
    rows = catalog_rows(rig)
    table = rig.table(ID, BODY, indexes=(PK,))
    with rig.session.transaction():
        assert not list(table.rows())
        table.insert({"Id": 1, "Body": bytes(9000)})
        rig.session.drop_table(rig.database, "T")
    rig.reopen()
    assert catalog_rows(rig) == rows
    check_rules_of(rig)


def test_space_is_used_again(rig: Rig) -> None:
    filled(rig)
    rig.session.drop_table(rig.database, "T")
    size = len(rig.env.get(PATH))
    for _ in range(5):
        filled(rig)
        rig.session.drop_table(rig.database, "T")
    assert len(rig.env.get(PATH)) <= size + (256 * 8192)
    rig.instance.close()
    assert check_database(rig.env, PATH).leaked == 0


def test_a_rolled_back_drop_leaves_all(rig: Rig) -> None:
    table = filled(rig)
    with pytest.raises(KeyError), rig.session.transaction():
        table.insert({"Id": 1000, "Name": "x"})
        rig.session.drop_table(rig.database, "T")
        with pytest.raises(ObjectNotFound):
            table.insert({"Id": 1001})
        with pytest.raises(ObjectNotFound):
            rig.session.open_table(rig.database, "T")
        raise KeyError
    table.insert({"Id": 2000, "Name": "y"})
    assert rig.session.open_table(rig.database, "T").get(2000) is not None
    assert [row["Id"] for row in rig.on_disk()] == [*range(300), 2000]


def test_readers_keep_a_table_until_they_end(rig: Rig) -> None:
    table = filled(rig)
    with rig.instance.session() as other:
        view = other.open_table(rig.database, "T")
        with other.transaction():
            assert view.get(7) is not None
            rig.session.drop_table(rig.database, "T")
            again = rig.table(ID, NAME, indexes=(PK,))  # takes the name, none of the space
            with rig.session.transaction():
                for number in range(2000):
                    again.insert({"Id": number, "Name": "new"})
            rig.instance.cleaner.run()
            assert [row["Name"] for row in view.rows("name")] == sorted(f"n{n}" for n in range(300))
            assert len(str(view.get(299)["Body"])) > 20 * 299  # type: ignore[index]
            with pytest.raises(WriteConflict) as conflict:
                view.delete(view.bookmark(1))
            assert conflict.value.jet == Jet.errTableLocked
        with pytest.raises(ObjectNotFound):
            view.get(7)
        with pytest.raises(ObjectNotFound):
            table.cursor().first()
    assert len(rig.on_disk()) == 2000


def take_the_name(rig: Rig, way: str) -> None:
    """Let the table T go, and make another one of its name: with new rows, in its place."""
    session, database = rig.session, rig.database
    if way == "dropped":
        session.drop_table(database, "T")
    else:
        session.rename_table(database, "T", "Before")
    again = session.create_table(database, "T", [ID], [PK])
    again.insert({"Id": 1000})
    if way == "dropped twice":
        session.drop_table(database, "T")
        session.create_table(database, "T", [ID], [PK]).insert({"Id": 1000})


@pytest.mark.parametrize("way", ["dropped", "renamed", "dropped twice"])
@pytest.mark.parametrize("ends", [Session.commit, Session.rollback])
def test_a_name_is_that_of_the_table_that_a_session_sees(
    rig: Rig, way: str, ends: Callable[[Session], None]
) -> None:
    filled(rig, 9)
    names = kept()
    with rig.instance.session() as other, rig.instance.session() as third:

        def seen(session: Session) -> list[Value]:
            return [row["Id"] for row in session.open_table(rig.database, "T").rows()]

        other.begin()
        rig.session.begin()
        take_the_name(rig, way)
        assert seen(rig.session) == [1000]
        assert seen(other) == seen(third) == [*range(9)]
        third.begin()
        ends(rig.session)
        after: list[Value] = [1000] if ends is Session.commit else [*range(9)]
        assert seen(rig.session) == after
        assert seen(other) == seen(third) == [*range(9)]
        with pytest.raises(InvalidUse) as error:
            other.create_table(rig.database, "T", [ID])
        assert error.value.jet == Jet.errTableDuplicate
        other.commit()
        assert seen(other) == after
        third.rollback()
        assert seen(third) == after
    rig.session.open_table(rig.database, "T").insert({"Id": 2000})
    assert kept() <= names + 1  # nothing of those that are no more
    check_rules_of(rig)


def test_names_are_told_once_they_are_committed(rig: Rig) -> None:
    filled(rig, 3)
    rig.table(ID, name="Stays")
    with rig.session.transaction():
        take_the_name(rig, "renamed")
        rig.session.drop_table(rig.database, "Stays")
        rig.table(ID, name="New")
        assert sorted(rig.database.table_names()) == ["Stays", "T"]
    assert sorted(rig.database.table_names()) == ["Before", "New", "T"]


def check_rules_of(rig: Rig) -> None:
    rig.instance.close()
    check_rules(rig.env, PATH, but="")


def test_a_table_in_use_is_not_dropped(rig: Rig) -> None:
    filled(rig)
    with rig.instance.session() as other:
        view = other.open_table(rig.database, "T")
        with other.transaction():
            view.delete(view.bookmark(5))
            with pytest.raises(InvalidUse) as refused:
                rig.session.drop_table(rig.database, "T")
            assert refused.value.jet == Jet.errTableInUse
    rig.session.drop_table(rig.database, "T")
    with pytest.raises(InvalidUse) as system:
        rig.session.drop_table(rig.database, "MSysObjids")
    assert system.value.jet == Jet.errCannotDeleteSystemTable


def test_nobody_writes_to_a_table_that_is_being_changed(rig: Rig) -> None:
    filled(rig)
    with rig.instance.session() as other:
        view = other.open_table(rig.database, "T")
        rig.session.begin()
        rig.session.drop_index(rig.session.open_table(rig.database, "T"), "name")
        assert view.get(3) is not None
        assert len(list(view.rows("name"))) == 300
        with pytest.raises(WriteConflict):
            view.insert({"Id": 999})
        with pytest.raises(WriteConflict):
            other.add_column(view, Column("New", Coltyp.LONG))
        rig.session.rollback()
        view.insert({"Id": 999, "Name": "later"})
        assert len(list(view.rows("name"))) == 301


def test_tables_made_and_dropped_in_one_transaction(rig: Rig) -> None:
    rig.reopen()
    before = free_pages(rig)
    for end in (rig.session.commit, rig.session.rollback):
        rig.session.begin()
        filled(rig, 50)
        rig.session.drop_table(rig.database, "T")
        filled(rig, 3)
        rig.session.drop_table(rig.database, "T")
        end()
    rig.reopen()
    assert free_pages(rig) == before
    assert rig.database.table_names() == []


def test_space_of_what_was_rolled_back_is_free(rig: Rig) -> None:
    filled(rig, 100, "Other")
    rig.reopen()
    before = free_pages(rig)
    rig.session.begin()
    filled(rig, 100)
    table = rig.session.open_table(rig.database, "Other")
    rig.session.create_index(table, Index("size", ["Size"]))
    rig.session.rollback()
    root = table.state.tree.root
    rig.reopen()
    taken = rig.database.tree_at(root).space
    more = sum(e.pages for e in taken.extents(taken.available))
    assert before - more <= free_pages(rig) <= before + 256  # the file may have grown
    rig.instance.close()
    assert check_database(rig.env, PATH).leaked == 0


# Indexes


def test_an_index_goes(rig: Rig) -> None:
    table = filled(rig)
    rig.session.drop_index(table, "name")
    table.insert({"Id": 1000, "Name": "n7"})  # would have been a duplicate
    with pytest.raises(InvalidUse) as gone:
        table.cursor("name")
    assert gone.value.jet == Jet.errIndexNotFound
    with pytest.raises(InvalidUse) as primary:
        rig.session.drop_index(table, "pk")
    assert primary.value.jet == Jet.errIndexMustStay
    rig.session.create_index(table, Index("name", ["Name"]))
    rig.reopen()
    table = rig.session.open_table(rig.database, "T")
    assert len(list(table.rows("name"))) == 301
    rig.instance.close()
    assert check_database(rig.env, PATH).leaked == 0


def test_readers_keep_an_index_until_they_end(rig: Rig) -> None:
    table = filled(rig)
    with rig.instance.session() as other:
        view = other.open_table(rig.database, "T")
        with other.transaction():
            cursor = view.cursor("name")
            assert cursor.first()
            rig.session.drop_index(table, "name")
            table.insert({"Id": 1000, "Name": "n7"})
            rig.instance.cleaner.run()
            assert len(list(view.rows("name"))) == 300
        with pytest.raises(ObjectNotFound):
            cursor.first()


def test_a_failed_index_leaves_nothing(rig: Rig) -> None:
    table = filled(rig)
    table.insert({"Id": 1000, "Name": "a", "Size": 1})
    table.insert({"Id": 1001, "Name": "b", "Size": 1})
    with rig.session.transaction():
        table.insert({"Id": 1002, "Name": "c", "Size": 2})
        with pytest.raises(KeyDuplicate):
            rig.session.create_index(table, Index("size", ["Size"], unique=True, nulls=False))
        table.insert({"Id": 1003, "Name": "d", "Size": 2})
    rig.session.create_index(table, Index("size", ["Size"], nulls=False))
    assert [row["Id"] for row in table.rows("size")] == [1000, 1001, 1002, 1003]
    assert len(rig.on_disk()) == 304


def test_an_index_is_not_made_over_rows_that_are_not_seen(rig: Rig) -> None:
    table = filled(rig)
    with rig.instance.session() as other:
        view = other.open_table(rig.database, "T")
        with other.transaction():
            view.insert({"Id": 1000, "Name": "unseen"})
            with pytest.raises(WriteConflict):
                rig.session.create_index(table, Index("size", ["Size"]))
    rig.session.create_index(table, Index("size", ["Size"]))
    assert len(list(table.rows("size"))) == 301


def test_unicode_indexes_are_counted(rig: Rig) -> None:
    table = rig.table(ID, TEXT, indexes=(PK, Index("text", ["Text"])))
    rig.session.create_index(table, Index("again", ["-Text"]))
    rig.session.drop_index(table, "text")
    rig.instance.close()
    with Database.open(rig.env, PATH) as database:
        counted = [
            row["iValue"]
            for row in database.table("MSysLocales").rows()
            if row["Type"] == 2 and "LocaleName".encode("utf-16-le") in cast("bytes", row["Key"])
        ]
    assert counted == [1]


# What is remembered


def kept() -> int:
    """Forms of tables and versions of nodes in memory."""
    gc.collect()
    return sum(isinstance(one, TableState | Version) for one in gc.get_objects())


def change_the_schema(rig: Rig, table: Table) -> None:
    """Change a lot, so that all is as it was."""
    session, database = rig.session, rig.database
    session.create_table(database, "Other", [ID, BODY], [PK]).insert({"Id": 1, "Body": b"b" * 5000})
    with session.transaction():
        session.rename_table(database, "T", "Renamed")
        session.create_index(table, Index("size", ["Size"]))
        session.add_column(table, Column("More", Coltyp.LONG))
    session.rename_table(database, "Renamed", "T")
    session.drop_index(table, "size")
    session.drop_column(table, "More")
    session.drop_table(database, "Other")


def test_what_nobody_sees_any_more_is_forgotten(rig: Rig) -> None:
    table = filled(rig, 9)
    with rig.instance.session() as other, rig.instance.session() as reader:
        held, view = other.open_table(rig.database, "T"), reader.open_table(rig.database, "T")
        change_the_schema(rig, table)
        before = kept()
        with reader.transaction():
            assert len(list(view.rows())) == 9
            for _ in range(10):
                change_the_schema(rig, table)
            assert kept() > before
            assert len(list(view.rows("name"))) == 9
        assert kept() <= before
        assert len(list(held.rows())) == 9
        held.insert({"Id": 9, "Name": "by an old hand"})
        assert [one.state.is_current for one in (table, held, view)] == [True, True, True]
    with pytest.raises(ObjectNotFound):
        rig.session.open_table(rig.database, "Renamed")
    assert len(rig.on_disk()) == 10


@pytest.mark.parametrize("nested", [False, True])
def test_what_was_opened_before_a_rollback_is_of_the_table_as_it_is(rig: Rig, nested: bool) -> None:
    """A column and an index that are no more get nothing, and the index gives nothing."""
    table, session = filled(rig, 9), rig.session
    if nested:
        session.begin()
    session.begin()
    session.add_column(table, Column("More", Coltyp.LONG_BINARY))
    session.create_index(table, Index("size", ["Size"]))
    session.rename_table(rig.database, "T", "Renamed")
    inside = session.open_table(rig.database, "Renamed")
    mark = inside.insert({"Id": 9, "More": b"m"})
    cursors = [one.cursor("size") for one in (table, inside)]
    assert all(cursor.first() for cursor in cursors)
    body, more = inside.open_long(mark, "Body"), table.open_long(table.bookmark(1), "More")
    assert (body.write(b"b"), more.write(b"m")) == (1, 1)
    session.rollback()
    rig.table(ID, BODY, name="Other").insert_many({"Id": n, "Body": b"o" * 300} for n in range(99))
    for one in (table, inside):
        with pytest.raises(InvalidUse) as refused:
            one.update(table.bookmark(2), {"More": b"m"})
        assert refused.value.jet == Jet.errColumnNotFound
        one.update(table.bookmark(2), {"Size": 2})
        assert [*one.rows()] == [*table.rows()]
        with pytest.raises(InvalidUse) as refused:
            one.cursor("size")
        assert refused.value.jet == Jet.errIndexNotFound
    for cursor in cursors:
        with pytest.raises(ObjectNotFound):
            cursor.first()
    with pytest.raises(RecordNotFound):
        body.write(b"b")
    with pytest.raises(InvalidUse) as refused:
        more.write(b"m")
    assert refused.value.jet == Jet.errColumnNotFound
    if nested:
        session.commit()
    inside.insert({"Id": 9})
    assert len([*rig.session.open_table(rig.database, "T").rows("name")]) == 10
    check_rules_of(rig)


def test_a_long_value_goes_with_its_column(rig: Rig) -> None:
    table = filled(rig, 9)
    body = table.open_long(table.bookmark(1), "Body")
    assert body.read() == b"b" * 20
    rig.session.rename_column(table, "Body", "Text")
    body.seek(0)
    assert body.read() == b"b" * 20
    rig.session.drop_column(table, "Text")
    for use in (body.read, lambda: body.write(b"b"), lambda: body.size, lambda: body.truncate(0)):
        with pytest.raises(InvalidUse) as refused:
            use()
        assert refused.value.jet == Jet.errColumnNotFound
    rig.session.add_column(table, BODY)
    assert [row["Body"] for row in table.rows()] == [None] * 9
    check_rules_of(rig)


def test_what_cannot_be_entered_in_the_catalog_takes_no_space(rig: Rig) -> None:
    table = filled(rig, 3)
    text = rig.table(ID, TEXT, name="Texts")
    with rig.instance.session() as other:
        theirs = other.open_table(rig.database, "T")
        other.begin()
        assert len(list(theirs.rows())) == 3
        rig.table(ID, NAME, name="New")
        rig.session.create_index(text, Index("text", ["Text"]))  # the first of Unicode text
        with pytest.raises(WriteConflict):
            other.create_table(rig.database, "New", [ID])
        with pytest.raises(WriteConflict):
            other.add_column(theirs, TEXT)
            other.create_index(theirs, Index("text", ["Text"]))
        other.rollback()
    table.insert({"Id": 9})
    assert len(rig.on_disk()) == 4
    check_rules(rig.env, PATH, but="")


# Columns


@pytest.mark.parametrize("column", [SIZE, BODY, TEXT])
def test_a_column_goes_and_its_place_is_not_used_again(rig: Rig, column: Column) -> None:
    given: dict[str, Value] = {"Size": 7, "Body": b"b" * 3000, "Text": "text"}
    table = rig.table(ID, column, Column("Last", Coltyp.LONG), indexes=(PK,))
    for number in range(5):
        table.insert({"Id": number, column.name: given[column.name], "Last": number})
    for name in (column.name, "Last"):
        rig.session.drop_column(table, name)
    assert table.get(3) == {"Id": 3}
    with pytest.raises(InvalidUse) as gone:
        table.insert({"Id": 9, "Last": 1})
    assert gone.value.jet == Jet.errColumnNotFound
    rig.reopen()
    table = rig.session.open_table(rig.database, "T")
    rig.session.add_column(table, column)
    rig.session.add_column(table, Column("Last", Coltyp.LONG, default=4))
    assert table.get(3) == {"Id": 3, column.name: None, "Last": 4}
    table.update(table.bookmark(3), {column.name: given[column.name]})
    table.insert({"Id": 8, "Last": 8})
    table.delete(table.bookmark(0))
    rows = {row["Id"]: row for row in rig.on_disk()}
    assert rows[3] == {"Id": 3, column.name: given[column.name], "Last": 4}
    assert rows[8]["Last"] == 8
    assert rows[4][column.name] is None
    check_rules(rig.env, PATH)


def test_a_column_of_a_key_stays(rig: Rig) -> None:
    table = filled(rig)
    for name in ("Id", "Name"):
        with pytest.raises(InvalidUse) as needed:
            rig.session.drop_column(table, name)
        assert needed.value.jet == Jet.errColumnInUse
    rig.session.drop_index(table, "name")
    rig.session.drop_column(table, "Name")
    rig.session.begin()
    rig.session.drop_column(table, "Size")
    assert table.get(1) == {"Id": 1, "Body": b"b" * 20}
    rig.session.rollback()
    assert table.get(1) == {"Id": 1, "Size": None, "Body": b"b" * 20}


# Names


def test_new_names(rig: Rig) -> None:
    table = filled(rig, 5)
    filled(rig, 2, "Other")
    with pytest.raises(InvalidUse) as taken:
        rig.session.rename_table(rig.database, "T", "other")
    assert taken.value.jet == Jet.errTableDuplicate
    rig.session.rename_table(rig.database, "T", "New")
    rig.session.rename_column(table, "Size", "Length")
    with pytest.raises(InvalidUse):
        rig.session.rename_column(table, "Length", "name")
    table.insert({"Id": 9, "Name": "nine", "Length": 3})
    with pytest.raises(ObjectNotFound):
        rig.session.open_table(rig.database, "T")
    rig.session.begin()
    rig.session.rename_table(rig.database, "New", "Newer")
    assert rig.session.open_table(rig.database, "newer").get(9) is not None
    rig.session.rollback()
    assert rig.session.open_table(rig.database, "New").get(9) is not None
    with pytest.raises(ObjectNotFound):
        rig.session.open_table(rig.database, "Newer")
    filled(rig, 1)  # the old name is free
    assert sorted(rig.database.table_names()) == ["New", "Other", "T"]
    assert rig.on_disk("New")[5]["Length"] == 3


# Crashes


@pytest.mark.parametrize("seed", range(3))
def test_crashes_anywhere(seed: int) -> None:
    """A drop has happened or not, in whole, whenever the machine stops."""
    env = Watched()
    env.mkdir("/sg")
    env.sync_dir("/")
    rig = Rig(env)
    filled(rig, 60, "Kept")
    filled(rig, 120)
    rig.instance.context.log.flush()
    images: list[tuple[Watched, str]] = []
    counts = [0]

    def moment(kind: str, path: str) -> None:
        counts[0] += 1
        if counts[0] % 3 == seed:
            crash = list(Crash)[counts[0] // 3 % len(Crash)]
            images.append((env.image(crash, counts[0]), f"{counts[0]}: {kind} {path}, {crash}"))

    env.moment = moment
    kept = rig.session.open_table(rig.database, "Kept")
    rig.session.drop_index(kept, "name")
    rig.session.drop_column(kept, "Body")
    rig.session.drop_table(rig.database, "T")
    filled(rig, 30)
    rig.instance.close()
    env.moment = lambda kind, path: None
    assert len(images) > 5
    for image, where in images:
        try:
            check_image(image, rig)
        except (AssertionError, HotsplitError) as error:
            raise AssertionError(f"{where}: {error!r}") from error


def check_image(env: Watched, rig: Rig) -> None:
    with Instance.open(env, rig.settings) as instance, instance.session() as session:
        database = instance.attach_database(PATH)
        kept = session.open_table(database, "Kept")
        assert [row["Id"] for row in kept.rows()] == list(range(60))
        names = database.table_names()
        if "T" in names:
            table = session.open_table(database, "T")
            assert len(list(table.rows())) in (0, 30, 120)
            table.insert({"Id": 500, "Name": "more", "Body": b"x" * 5000})
        kept.insert({"Id": 500, "Name": "more"})
        kept.update(kept.bookmark(50), {"Name": "another"})
    check_database(env, PATH)
    check_rules(env, PATH)


def test_upkeep_knows_the_trees_of_now(rig: Rig) -> None:
    table = filled(rig)
    rig.session.create_index(table, Index("size", ["Size"]))
    rig.session.drop_index(table, "name")
    filled(rig, 3, "Gone")
    rig.session.drop_table(rig.database, "Gone")
    found = {tree.root for tree in trees_of(rig.database)}
    definition = table.state.definition
    assert found == {*(i.root for i in definition.indexes), definition.long_value_root}
    with rig.session.transaction():
        for number in range(250):
            table.delete(table.bookmark(number))
    rig.instance.cleaner.run()
    assert defragment(rig.session, rig.database).given_back
    assert len(rig.on_disk()) == 50
