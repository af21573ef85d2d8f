"""Whatever is called on an instance that came to an end by itself: the answer says why it did."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from hotsplit.errors import HotsplitError, InstanceDown, Jet
from hotsplit.ese.backup.kinds import Kind
from hotsplit.ese.backup.streaming import Backup
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.tables.cursor import Cursor
from hotsplit.ese.engine.upkeep import maintenance
from hotsplit.ese.format.columns import Coltyp
from tests.ese.engine.crashes import FOLDER, PATH
from tests.ese.engine.test_logdisk import Rig


def full(rig: Rig) -> None:
    rig.env.quota = rig.env.used() + (200 << 10)
    rig.session.begin()
    rig.fill()
    rig.session.commit()


def broken(rig: Rig) -> None:
    rig.env.break_device(len(rig.env.changes) + 4)
    with pytest.raises(HotsplitError):
        while True:
            rig.insert()


def calls(rig: Rig, cursor: Cursor) -> dict[str, Callable[[], object]]:
    instance, session, table, database = rig.instance, rig.session, rig.table, rig.database
    mark, end = b"\x7f\x80\0\0\1", rig.instance.context.log.end
    column, index = Column("New", Coltyp.LONG), Index("new", ["Size"])
    return {
        "session": instance.session,
        "begin": session.begin,
        "commit": session.commit,
        "rollback": session.rollback,
        "current": lambda: session.current,
        "insert": lambda: table.insert({"Id": 99_999}),
        "insert_many": lambda: table.insert_many([{"Id": 99_999}]),
        "update": lambda: table.update(mark, {"Size": 1}),
        "delete": lambda: table.delete(mark),
        "get": lambda: table.get(1),
        "rows": lambda: list(table.rows()),
        "batches": lambda: list(table.batches()),
        "move": lambda: cursor.move(1),
        "row": cursor.row,
        "seek": lambda: cursor.seek(3),
        "open_table": lambda: session.open_table(database, "Items"),
        "create_table": lambda: session.create_table(database, "New", [column]),
        "drop_table": lambda: session.drop_table(database, "Items"),
        "add_column": lambda: session.add_column(table, column),
        "create_index": lambda: session.create_index(table, index),
        "create_database": lambda: instance.create_database(f"{FOLDER}/new.edb"),
        "attach_database": lambda: instance.attach_database(PATH),
        "detach_database": lambda: instance.detach_database(database),
        "table_names": database.table_names,
        "tables": database.tables,
        "freeze": lambda: instance.freeze().begin(),
        "backup": lambda: Backup(instance, Kind.COPY).__enter__(),
        "defragment": partial(maintenance.defragment, session, database),
        "shrink": partial(maintenance.shrink, session, database),
        "scrub": partial(maintenance.scrub, session, database),
        "idle": instance.idle,
        "progress": lambda: instance.context.log.progress.wait(end + 1, 0),
    }


@pytest.mark.parametrize(
    ("end", "jet", "why"),
    [
        (full, Jet.errInstanceUnavailableDueToFatalLogDiskFull, "JET_errLogDiskFull, -529"),
        (broken, Jet.errDiskIO, "JET_errDiskIO, -1022"),
    ],
)
def test_every_call_says_why(end: Callable[[Rig], None], jet: Jet, why: str) -> None:
    rig = Rig()
    cursor = rig.table.cursor()
    cursor.move(3)
    end(rig)
    for name, call in calls(rig, cursor).items():
        with pytest.raises(InstanceDown) as down:
            call()
        assert down.value.jet == jet, name
        assert "unavailable" in down.value.message, name
        assert why in down.value.message, name
    rig.instance.close()
