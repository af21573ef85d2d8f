"""Many rows at a time: what is stored, what others see, and what is left after an error."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotsplit.errors import InvalidUse, Jet, KeyDuplicate, WriteConflict
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.session import Session
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables import inserting
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.engine.trees import chains
from hotsplit.ese.engine.trees import tree as tree_module
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.format.columns import Coltyp, Value
from hotsplit.ese.format.logrecord import LogRecord, decode
from hotsplit.ese.format.page import Page
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.recovery.recover import recover
from tests.ese.engine.crashes import COLUMNS, INDEXES, Rows, by_number
from tests.ese.engine.shape import check_database
from tests.ese.engine.test_tables import FOLDER, ID, PATH, PK, Rig
from tests.memoryenv import Crash, MemoryEnv

Row = dict[str, Value]
_APPEND = 2


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(inserting, "_MOST", 100)
    made = Rig()
    yield made
    made.instance.close()


def items(numbers: list[int]) -> list[Row]:
    """Rows of all kinds: plain ones, with several values, with long values."""
    chance = random.Random(3)
    return [
        {
            "Id": number,
            "Size": number % 7 if number % 5 else None,
            "Name": f"name {number}" if number % 3 else None,
            "Tags": [f"tag {number % 4}", "all"] if number % 2 else None,
            "Body": chance.randbytes((0, 20, 300, 5000)[number % 4]) or None,
        }
        for number in numbers
    ]


def table_of(rig: Rig) -> Table:
    return rig.session.create_table(rig.database, "T", COLUMNS, INDEXES)


def test_rows_in_any_order_are_stored_as_one_by_one(rig: Rig) -> None:
    numbers = random.Random(1).sample(range(10_000), 600)
    many, single = table_of(rig), rig.session.create_table(rig.database, "S", COLUMNS, INDEXES)
    rows = items(numbers)
    assert many.insert_many(iter(rows[:450])) == 450
    assert many.insert_many(rows[450:]) == 150
    with rig.session.transaction():
        for row in rows:
            single.insert(row)
    for index in (None, "by_size", "by_name", "by_tags"):
        assert list(many.rows(index)) == list(single.rows(index))
    rig.reopen()
    assert by_number(rig.session.open_table(rig.database, "T").rows()) == by_number(rows)


PLAIN = [
    Index("pk", ["Id"], primary=True),
    Index("by_size", ["-Size", "Name"]),
    Index("by_name", ["Name"], unique=True, nulls=False),
]


@pytest.mark.parametrize("as_tuples", [True, False])
def test_plain_rows_are_stored_as_one_by_one(rig: Rig, as_tuples: bool) -> None:
    columns = [column for column in COLUMNS if column.name != "Tags"]
    many = rig.session.create_table(rig.database, "T", columns, PLAIN)
    single = rig.session.create_table(rig.database, "S", columns, PLAIN)
    numbers = random.Random(1).sample(range(10_000), 500)
    rows = [{name: row[name] for name in row if name != "Tags"} for row in items(numbers)]
    if as_tuples:
        names = ["Name", "Id", "Body", "Size"]
        many.insert_many(([row[name] for name in names] for row in rows[:200]), names)
        many.insert_many((tuple(row[name] for name in names) for row in rows[200:]), names)
    else:
        many.insert_many(rows)
    with rig.session.transaction():
        for row in rows:
            single.insert(row)
    for index in (None, "by_size", "by_name"):
        assert list(many.rows(index)) == list(single.rows(index))
    with pytest.raises(KeyDuplicate):
        many.insert_many([{"Id": -1}, {"Id": -2, "Name": "x"}, {"Id": -3, "Name": "X"}])
    with pytest.raises(InvalidUse):
        many.insert_many([(1, 2, 3)], ["Id", "Size"])
    with pytest.raises(InvalidUse):
        many.insert_many([(-1, -1)], ["Id", "Id"])
    assert sum(1 for _ in many.rows()) == len(rows)
    rig.reopen()


def test_no_rows_are_no_change(rig: Rig) -> None:
    table = table_of(rig)
    assert table.insert_many([]) == 0
    assert list(table.rows()) == []


@pytest.mark.parametrize("inside", [True, False])
def test_a_duplicate_takes_all_rows_of_the_call_with_it(rig: Rig, inside: bool) -> None:
    table = table_of(rig)
    table.insert_many(items([5000]))
    before, more = items([5000]), items(list(range(400)))
    if inside:
        rig.session.begin()
        table.insert_many(items([7000, 7001]))
        before += items([7000, 7001])
    with pytest.raises(KeyDuplicate):
        table.insert_many([*more, *items([5000]), *items(list(range(6000, 6100)))])
    assert by_number(table.rows()) == by_number(before)
    table.insert_many(more)  # as if it had never been tried
    if inside:
        rig.session.commit()
    assert by_number(table.rows()) == by_number([*before, *more])
    rig.reopen()


@pytest.mark.parametrize("twice", [[3, 4, 3], [3, 3], [300, *range(250), 300]])
def test_two_rows_of_one_key_are_refused(rig: Rig, twice: list[int]) -> None:
    table = rig.table(ID, Column("Size", Coltyp.LONG), indexes=(PK,))
    with pytest.raises(KeyDuplicate):
        table.insert_many({"Id": number, "Size": 1} for number in twice)
    assert list(table.rows()) == []


def test_an_error_of_the_giver_takes_all_rows_back(rig: Rig) -> None:
    table = table_of(rig)

    def rows() -> Iterator[Row]:
        yield from items(list(range(250)))
        raise LookupError

    with pytest.raises(LookupError):
        table.insert_many(rows())
    assert list(table.rows()) == []


def test_what_a_single_row_may_not_be_none_of_many_may(rig: Rig) -> None:
    table = table_of(rig)
    good = items([1, 2, 3])
    wrong: list[tuple[Row, Jet]] = [
        ({"Id": None}, Jet.errNullInvalid),
        ({"Id": 9, "Wrong": 1}, Jet.errColumnNotFound),
        ({"Id": 1 << 40}, Jet.errInvalidColumnType),
        ({"Id": 9, "Size": "x"}, Jet.errInvalidColumnType),
    ]
    for bad, jet in wrong:
        with pytest.raises(InvalidUse) as error:
            table.insert_many([*good, bad])
        assert error.value.jet == jet
        assert list(table.rows()) == []


def test_rollback_and_nested_rollback(rig: Rig) -> None:
    table = table_of(rig)
    rig.session.begin()
    table.insert_many(items(list(range(0, 400, 2))))
    rig.session.begin()
    table.insert_many(items(list(range(1, 400, 2))))
    assert sum(1 for _ in table.rows()) == 400
    rig.session.rollback()
    assert by_number(table.rows()) == by_number(items(list(range(0, 400, 2))))
    rig.session.begin()
    table.insert_many(items([1, 3]))
    rig.session.commit()
    rig.session.rollback()
    assert list(table.rows()) == []
    table.insert_many(items(list(range(100))))
    rig.reopen()
    found = rig.session.open_table(rig.database, "T")
    assert by_number(found.rows()) == by_number(items(list(range(100))))


def test_others_see_rows_once_they_are_committed(rig: Rig) -> None:
    table, other = table_of(rig), rig.instance.session()
    seen = other.open_table(rig.database, "T")
    table.insert_many(items([1, 9000]))
    other.begin()
    rig.session.begin()
    table.insert_many(items(list(range(10, 300))))
    assert [row["Id"] for row in seen.rows()] == [1, 9000]
    assert sum(batch.rows for batch in seen.batches()) == 2
    assert seen.get(10) is None
    with pytest.raises(WriteConflict), other.transaction():
        seen.insert(items([10])[0])
    with pytest.raises(WriteConflict), other.transaction():
        seen.insert_many(items([5000, 12]))
    rig.session.commit()
    assert [row["Id"] for row in seen.rows("by_name")] == [1]
    other.commit()
    assert sum(1 for _ in seen.rows()) == 292
    assert seen.get(10) is not None


def test_rows_are_changed_in_the_transaction_that_made_them(rig: Rig) -> None:
    table, other = table_of(rig), rig.instance.session()
    seen = other.open_table(rig.database, "T")
    rig.session.begin()
    table.insert_many(items(list(range(500))))
    table.update(table.bookmark(7), {"Size": 99})
    table.delete(table.bookmark(8))
    table.insert_many(items([8, 600]))
    assert list(seen.rows()) == []
    rig.session.begin()
    table.update(table.bookmark(9), {"Size": 98})
    rig.session.rollback()
    expected: Rows = by_number(items([*range(500), 600]))
    expected[7]["Size"] = 99
    assert by_number(table.rows()) == expected
    rig.session.commit()
    assert by_number(seen.rows()) == expected
    state = table.state
    assert not any(bool(tree.versions) or tree.open_replaces for tree in state.trees)


def test_many_small_calls_in_a_long_transaction(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "_MOST_RUNS", 3)
    table, other = table_of(rig), rig.instance.session()
    seen = other.open_table(rig.database, "T")
    other.begin()
    rig.session.begin()
    for first in range(0, 40, 2):
        table.insert_many(items([first, 100 - first]))
    assert list(seen.rows()) == []
    table.delete(table.bookmark(4))
    rig.session.begin()
    table.insert_many(items([1000]))
    rig.session.rollback()
    rig.session.commit()
    assert list(seen.rows()) == []
    other.commit()
    assert sum(1 for _ in seen.rows()) == 39
    assert not any(tree.versions for tree in table.state.trees)


def test_a_table_without_primary_index(rig: Rig) -> None:
    table = rig.table(Column("Size", Coltyp.LONG))
    table.insert_many({"Size": number} for number in range(300))
    assert [row["Size"] for row in table.rows()] == list(range(300))


def test_counters_and_defaults(rig: Rig) -> None:
    table = rig.table(
        Column("Id", Coltyp.LONG, autoincrement=True, not_null=True),
        Column("Changes", Coltyp.LONG, version=True),
        Column("Total", Coltyp.LONG, escrow=True, default=5),
        Column("Kind", Coltyp.TEXT, code_page=1252, default="plain"),
        indexes=(PK,),
    )
    first: list[dict[str, Value]] = [{}, {"Kind": "odd"}, {"Id": 700}, {"Total": 6, "Changes": 8}]
    table.insert_many([*first, *({} for _ in range(200))])
    rows = list(table.rows())
    assert [row["Id"] for row in rows] == [1, 2, *range(700, 902)]
    assert [row["Changes"] for row in rows] == [0, 0, 0, 8, *[0] * 200]
    assert [row["Total"] for row in rows[:4]] == [5, 5, 5, 6]
    assert [row["Kind"] for row in rows[:3]] == ["plain", "odd", "plain"]
    table.add(table.bookmark(1), "Total", 2)
    rig.reopen()
    table = rig.session.open_table(rig.database, "T")
    assert table.insert({}) == table.bookmark(902)


@pytest.mark.parametrize("size", [4096, 8192, 32768])
def test_pages_are_those_that_replay_makes(size: int) -> None:
    env = MemoryEnv()
    env.mkdir(FOLDER)
    settings = Settings(FOLDER, page_size=size, log_size=256 << 10, checkpoint_depth=1 << 30)
    instance = Instance.open(env, settings)
    database, session = instance.create_database(PATH), instance.session()
    table = session.create_table(database, "T", COLUMNS, INDEXES)
    numbers = random.Random(size).sample(range(5000), 500)
    table.insert_many(items(numbers[:300]))
    with session.transaction(lazy=True):
        table.insert_many(items(numbers[300:]))
    instance.context.log.flush()
    pages = _resident(session, instance)
    crashed = env.crashed(Crash.ALL_KEPT, 1)
    recover(crashed, [FOLDER], [], "/copy")
    data = crashed.get("/copy/items.edb".replace("items", "mail"))
    for pgno, page in pages.items():
        found = Page(bytes(data[(pgno + 1) * size : (pgno + 2) * size]), pgno)
        assert (found.dbtime, found.objid, found.free) == (page.dbtime, page.objid, page.free)
        assert found.nodes() == page.nodes()
        start = 80 if size > 8192 else 40
        assert bytes(found.data)[start:] == bytes(page.data)[start:]
    instance.close()
    check_database(env, PATH)


def _resident(session: Session, instance: Instance) -> dict[int, Page]:
    """Return copies of the pages that were changed and not written."""
    core = instance.context.core
    found = {}
    for pgno in core.dirty_pages(1):
        page = core.page(1, pgno)
        assert page is not None
        found[pgno] = Page(bytes(page), pgno)
    return found


@pytest.mark.parametrize("name", ["T", "U"])
def test_appended_pages_are_logged_as_by_the_general_split(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """U has keys that are not unique, and a prefix on its pages."""
    logs = []
    for general in (False, True):
        with monkeypatch.context() as patch:
            made = Rig(MemoryEnv())
            columns = ID, Column("Size", Coltyp.LONG), Column("Name", Coltyp.TEXT, code_page=1252)
            by_name = Index("by_name", ["Name", "Size"])
            indexes = (PK,) if name == "T" else (PK, by_name)
            table = made.table(*columns, indexes=indexes)
            if general:
                patch.setattr(tree_module, "append", lambda *_: False)
            with made.session.transaction():
                for number in range(1500):
                    text = f"{'name' * 20} {number // 9:05}"
                    table.insert({"Id": number, "Size": number % 9, "Name": text})
            made.instance.close()
            check_database(made.env, PATH)
            logs.append(_records(made.env))
    assert logs[0] == logs[1]
    assert sum(r.type == T.SPLIT2 and r.split_type == _APPEND for r in logs[0]) > 10


def _records(env: MemoryEnv) -> list[LogRecord]:
    """Return the records of all logs that change pages."""
    found = []
    for path in sorted(env.files(FOLDER)):
        if path.endswith(".log") and "tmp" not in path:
            with LogFile.open(env, path) as file:
                found += [decode(record) for _, record in file.records()]
    return [record for record in found if hasattr(record, "pgno")]


def test_the_example_of_the_page_runs(rig: Rig) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "engine.md").read_text()
    example = page.partition("### Many rows at a time")[2].partition("```python\n")[2]
    table = rig.table(
        Column("Id", Coltyp.LONG, autoincrement=True, not_null=True),
        Column("Size", Coltyp.LONG),
        Column("Subject", Coltyp.TEXT, code_page=1252),
        indexes=(PK, Index("by_size", ["-Size", "Subject"])),
    )
    names = {"session": rig.session, "messages": table}
    exec(compile(example.partition("```")[0], "engine.md", "exec"), names)
    rows = list(table.rows())
    assert len(rows) == 10_002
    assert rows[-1] == {"Id": 10_002, "Size": 9, "Subject": "Notes"}
