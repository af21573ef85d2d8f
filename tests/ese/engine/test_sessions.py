"""What a session may still do, and what is committed, while rows are read and after its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hotsplit.errors import InstanceDown, InvalidUse, Jet
from hotsplit.ese.engine.instance import Instance
from tests.ese.engine.test_tables import ID, PATH, PK, Rig, jet_of
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
