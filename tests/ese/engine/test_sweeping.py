"""Deleted rows go for good: in normal work, and after a crash that forgot them."""

from __future__ import annotations

from hotsplit.ese.engine.instance import Instance
from tests.ese.engine.crashes import COLUMNS, INDEXES, Watched
from tests.ese.engine.shape import Shape, check_database
from tests.ese.engine.test_tables import FOLDER, PATH, Rig
from tests.memoryenv import Crash


def deleted(shape: Shape) -> int:
    return sum(node.is_deleted for nodes in shape.nodes.values() for node in nodes)


def test_a_restart_removes_what_was_deleted_before_the_crash() -> None:
    env = Watched()
    env.mkdir(FOLDER)
    env.sync_dir("/")
    rig = Rig(env)
    table = rig.session.create_table(rig.database, "Items", COLUMNS, INDEXES)
    with rig.session.transaction():
        for number in range(200):
            table.insert({"Id": number, "Name": f"n{number}", "Tags": ["a", "b"]})
            table.update(table.bookmark(number), {"Body": b"b" * (100 * number)})
    rig.instance.context.cache.flush(rig.database.dbid)
    with rig.instance.session() as reader, reader.transaction():  # keeps the cleaner off
        with rig.session.transaction():
            for number in range(0, 200, 3):
                table.delete(table.bookmark(number))
        left = env.image(Crash.ALL_LOST, 0)
        assert not rig.instance.cleaner.removed
    with Instance.open(left, rig.settings) as again, again.session() as session:
        assert again.restarted is not None
        items = session.open_table(again.attach_database(PATH), "Items")
        assert [row["Id"] for row in items.rows()] == [n for n in range(200) if n % 3]
    shape = check_database(left, PATH)
    assert deleted(shape) == 0
    assert len(shape.nodes["Items"]) == 133


def test_what_a_reader_held_back_goes_when_it_ends() -> None:
    rig = Rig()
    table = rig.session.create_table(rig.database, "Items", COLUMNS, INDEXES)
    for number in range(1000):
        table.insert({"Id": number})
    with rig.instance.session() as reader, reader.transaction():
        for number in range(1000):
            table.delete(table.bookmark(number))
        assert not rig.instance.cleaner.removed
    table.insert({"Id": 5})
    assert rig.instance.cleaner.removed >= 1000
    assert not rig.instance.context.versions.deleted
    assert not table.state.tree.versions
    rig.instance.close()
    assert deleted(check_database(rig.env, PATH)) == 0
