"""What a session may still do, and what is committed, while rows are read and after its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from hotsplit.errors import InstanceDown, InvalidUse, Jet, WriteConflict
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column
from hotsplit.ese.engine.session import Session
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.engine.trees.versions import Transaction, Version
from hotsplit.ese.engine.upkeep.maintenance import defragment, scrub, shrink
from hotsplit.ese.format.columns import Coltyp
from tests.ese.engine.test_tables import FOLDER, ID, PATH, PK, Rig, jet_of
from tests.memoryenv import Crash


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.instance.close()


@pytest.mark.parametrize("by_columns", [False, True])
def test_what_is_done_between_rows_is_durable(rig: Rig, by_columns: bool) -> None:
    table = rig.table(ID, indexes=(PK,))
    table.insert_many({"Id": number} for number in range(50))

    found: Iterator[object] = table.batches(["Id"], size=1) if by_columns else table.rows()
    next(found)
    table.insert({"Id": 99})
    assert rig.session.level == 0
    with pytest.raises(InvalidUse) as error:
        rig.instance.detach_database(rig.database)
    assert jet_of(error) == Jet.errDatabaseInUse
    after = rig.env.crashed(Crash.ALL_KEPT)
    with Instance.open(after, rig.settings) as again, again.session() as session:
        assert session.open_table(again.attach_database(PATH), "T").get(99) is not None
    assert sum(1 for _ in found) == 49
    rig.instance.detach_database(rig.database)


def test_rows_of_an_instance_that_was_closed(rig: Rig) -> None:
    table = rig.table(ID, indexes=(PK,))
    table.insert_many({"Id": number} for number in range(50))
    found = table.rows()
    next(found)
    rig.instance.close()
    with pytest.raises(InstanceDown):
        next(found)


def test_a_closed_session_is_over(rig: Rig) -> None:
    table = rig.table(ID, indexes=(PK,))
    first = rig.instance.session()
    mine = first.open_table(rig.database, "T")
    first.close()
    second = rig.instance.session()
    assert second.procid == first.procid
    first.close()  # does not close the other one
    for use in (
        lambda: mine.insert({"Id": 1}),
        lambda: list(mine.rows()),
        lambda: mine.get(1),
        first.begin,
        lambda: first.create_table(rig.database, "New", [ID]),
    ):
        with pytest.raises(InvalidUse) as error:
            use()
        assert error.value.jet == Jet.errInvalidSesid
    second.open_table(rig.database, "T").insert({"Id": 2})
    assert rig.instance.session().procid != second.procid
    assert [row["Id"] for row in table.rows()] == [2]


def test_what_was_opened_of_a_database_ends_with_it(rig: Rig) -> None:
    """Another database may have its number, or the same one with other pages in memory."""
    table = rig.table(ID, indexes=(PK,))
    table.insert_many({"Id": number} for number in range(50))
    cursor = table.cursor()
    cursor.first()
    gone, session, instance = rig.database, rig.session, rig.instance
    instance.detach_database(gone)
    second = instance.create_database(f"{FOLDER}/second.edb")
    theirs = session.create_table(second, "T", [ID], [PK])
    assert second.dbid == gone.dbid

    def is_refused(work: Callable[[], object]) -> None:
        with pytest.raises(InvalidUse) as error:
            work()
        assert jet_of(error) == Jet.errInvalidDatabaseId

    uses: list[Callable[[], object]] = [
        lambda: table.insert({"Id": 1}),
        lambda: table.insert_many([{"Id": 1}]),
        lambda: table.get(1),
        lambda: list(table.rows()),
        lambda: list(table.batches()),
        cursor.row,
        lambda: cursor.move(1),
        gone.table_names,
        gone.tables,
        lambda: session.open_table(gone, "T"),
        lambda: session.create_table(gone, "New", [ID]),
        lambda: session.drop_table(gone, "T"),
        lambda: instance.detach_database(gone),
        lambda: defragment(session, gone),
        lambda: shrink(session, gone),
        lambda: scrub(session, gone),
    ]
    for use in uses:
        is_refused(use)
        with session.transaction():
            is_refused(lambda: table.insert({"Id": 1}))
            is_refused(lambda: table.get(1))
    assert not list(theirs.rows())
    again = instance.attach_database(PATH)
    is_refused(lambda: table.insert({"Id": 99}))
    assert len(list(session.open_table(again, "T").rows())) == 50


def test_databases_of_another_instance(rig: Rig) -> None:
    rig.table(ID, indexes=(PK,))
    settings = replace(rig.settings, folder="/other")
    with Instance.open(rig.env, settings) as other, other.session() as session:
        for use in (
            lambda: session.open_table(rig.database, "T"),
            lambda: session.create_table(rig.database, "New", [ID]),
            lambda: defragment(session, rig.database),
            lambda: shrink(session, rig.database),
            lambda: other.detach_database(rig.database),
        ):
            with pytest.raises(InvalidUse) as error:
                use()
            assert jet_of(error) == Jet.errInvalidDatabaseId
    assert rig.database.table_names() == ["T"]


@pytest.mark.parametrize("end", [Session.commit, Session.rollback, Session.close, Session.begin])
def test_a_block_ends_only_its_own_transaction(rig: Rig, end: Callable[[Session], None]) -> None:
    table, session = rig.table(ID, indexes=(PK,)), rig.session
    with pytest.raises(InvalidUse) as error, session.transaction():
        table.insert({"Id": 1})
        end(session)
    assert jet_of(error) == Jet.errNotInTransaction
    assert session.level == 0
    kept = [1] if end is Session.commit else []
    assert [row["Id"] for row in rig.on_disk()] == kept


def test_a_block_leaves_the_transaction_around_it(rig: Rig) -> None:
    table, session = rig.table(ID, indexes=(PK,)), rig.session
    with session.transaction():
        table.insert({"Id": 1})
        with pytest.raises(InvalidUse), session.transaction():
            table.insert({"Id": 2})
            session.rollback()
        assert session.level == 1
        with pytest.raises(KeyError), session.transaction():
            session.begin()
            table.insert({"Id": 3})
            raise KeyError
        assert session.level == 1
    with pytest.raises(KeyError), session.transaction():  # what went wrong is told
        session.rollback()
        raise KeyError
    assert [row["Id"] for row in table.rows()] == [1]


BODY = Column("Body", Coltyp.LONG_BINARY)


def change_nothing(table: Table, mark: bytes) -> None:
    table.update(mark, {"Size": 1})


def add_and_change_nothing(table: Table, mark: bytes) -> None:
    table.add(mark, "Count", 1)
    table.update(mark, {})


def change_long_value(table: Table, mark: bytes) -> None:
    with table.open_long(mark, "Body") as body:
        body.write(b"in its place")


@pytest.mark.parametrize("change", [change_nothing, add_and_change_nothing, change_long_value])
@pytest.mark.parametrize("is_committed", [False, True])
def test_a_row_is_one_thing_whatever_of_it_is_changed(
    rig: Rig, change: Callable[[Table, bytes], None], is_committed: bool
) -> None:
    """Also where its record is the same before and after."""
    count = Column("Count", Coltyp.LONG, escrow=True, default=0)
    mine = rig.table(ID, Column("Size", Coltyp.LONG), BODY, count, indexes=(PK,))
    mark = mine.insert({"Id": 1, "Size": 1, "Body": bytes(5000)})
    other = rig.instance.session()
    theirs = other.open_table(rig.database, "T")
    for first, second in ((mine, theirs), (theirs, mine)):
        second.session.begin()
        first.session.begin()
        assert second.get(1) is not None
        if first is mine:
            first.update(mark, {"Size": 2})
        else:
            change(first, mark)
        if is_committed:
            first.session.commit()
        with pytest.raises(WriteConflict):
            if second is mine:
                second.add(mark, "Count", 1)
            else:
                change(second, mark)
        second.session.rollback()
        if not is_committed:
            first.session.rollback()
        rig.session.begin()
        mine.update(mark, {"Size": 1})
        rig.session.commit()
    other.close()


@pytest.mark.parametrize("held", [False, True])
def test_a_row_is_changed_as_fast_after_many_changes(
    rig: Rig, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was for an older view, or before a transaction, is not looked at again."""
    count = Column("Count", Coltyp.LONG, escrow=True, default=0)
    table = rig.table(ID, Column("Size", Coltyp.LONG), count, indexes=(PK,))
    mark, looks, sees = table.insert({"Id": 1}), 0, Transaction.sees

    def counted(transaction: Transaction, version: Version) -> bool:
        nonlocal looks
        looks += 1
        return sees(transaction, version)

    monkeypatch.setattr(Transaction, "sees", counted)
    with rig.instance.session() as other:
        other.begin()
        theirs = other.open_table(rig.database, "T")
        if not held:
            rig.session.begin()
        made = []
        for number in range(100):
            before = looks
            table.update(mark, {"Size": number})
            assert table.get(1) == {"Id": 1, "Size": number, "Count": 0}
            made.append(looks - before)
        assert max(made) < 20
        before = looks
        for _ in range(100):
            table.add(mark, "Count", 1)
        assert looks - before < 1000
        assert theirs.get(1) == {"Id": 1, "Size": None, "Count": 0}
        table.update(mark, {"Size": 100})
        if not held:
            rig.session.rollback()
        other.rollback()
    size, total = (100, 100) if held else (None, 0)
    assert table.get(1) == {"Id": 1, "Size": size, "Count": total}


def test_one_view_is_a_transaction(rig: Rig) -> None:
    """What is begun inside ends inside, and an error takes back what was changed."""
    table, session = rig.table(ID, indexes=(PK,)), rig.session
    with pytest.raises(InvalidUse) as error, session.reading():
        session.begin()
        table.insert({"Id": 1})
    assert jet_of(error) == Jet.errNotInTransaction
    assert session.level == 0
    with pytest.raises(KeyError), session.reading():
        table.insert({"Id": 2})
        raise KeyError
    with session.reading():
        table.insert({"Id": 3})
    with session.transaction(), session.reading():
        assert session.level == 1
    assert [row["Id"] for row in rig.on_disk()] == [3]


def test_changes_whose_before_images_are_logged_are_not_looked_at_again(rig: Rig) -> None:
    """A long transaction would spend its time so: pages go to disk all the while."""
    session, database = rig.session, rig.database
    table = session.create_table(database, "Long", [ID, Column("N", Coltyp.LONG)], [PK])
    table.insert_many({"Id": number, "N": 0} for number in range(300))
    context = rig.instance.context
    with session.transaction():
        for number in range(300):
            table.update(table.bookmark(number), {"N": number})
            if number % 10 == 9:
                assert len(session.current.without_image) <= 20
                context.cache.flush(database.dbid)
                assert not list(
                    context.versions.without_image(database.dbid, {table.state.tree.objid})
                )
        assert len(session.current.versions) == 300
        image = rig.env.crashed(Crash.ALL_KEPT)
    with Instance.open(image, context.settings) as again, again.session() as other:
        table = other.open_table(again.attach_database(PATH), "Long")
        assert [row["N"] for row in table.rows()] == [0] * 300
