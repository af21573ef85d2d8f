"""Parts of long values: what is written, what a model says, and what all readers find."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotsplit.errors import DataDamaged, InvalidUse, Jet, RecordNotFound, WriteConflict
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index, Tuples
from hotsplit.ese.engine.session import Session
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.format.columns import Coltyp
from hotsplit.ese.format.longvalue import MOST_BYTES, chunk_size, split_key
from hotsplit.ese.read.database import Database
from tests.ese.engine.judge import check_rules
from tests.memoryenv import Crash, MemoryEnv

FOLDER, PATH = "/sg", "/sg/a.edb"
COLUMNS = [
    Column("n", Coltyp.LONG, not_null=True),
    Column("body", Coltyp.LONG_BINARY),
    Column("packed", Coltyp.LONG_BINARY, compressed=True),
    Column("several", Coltyp.LONG_BINARY, multi_valued=True),
    Column("text", Coltyp.LONG_TEXT, code_page=1252),
    Column("version", Coltyp.LONG, version=True),
    Column("number", Coltyp.LONG, autoincrement=True),
]
INDEXES = [Index("pk", ["n"], primary=True)]
WORDS = Index("words", ["text"], tuples=Tuples())


class Rig:
    """An instance with one table, in memory."""

    def __init__(self, page_size: int = 4096, indexes: list[Index] = INDEXES) -> None:
        self.env = MemoryEnv()
        self.env.mkdir(FOLDER)
        self.env.sync_dir("/")
        self.settings = Settings(FOLDER, page_size=page_size, log_size=1 << 20)
        self.instance = Instance.open(self.env, self.settings)
        self.database = self.instance.create_database(PATH)
        self.session = self.instance.session()
        self.table = self.session.create_table(self.database, "t", COLUMNS, indexes)

    def other(self) -> tuple[Session, Table]:
        session = self.instance.session()
        return session, session.open_table(self.database, "t")

    def values(self) -> int:
        """Long values that are there, when all is done that was put off."""
        while self.instance.idle():
            pass
        found = self.table.state.long_values
        assert found is not None
        return sum(split_key(node.key)[1] is None for node in found.tree.scan())

    def check(self, expected: dict[int, dict[str, object]]) -> None:
        """Close it and hold the file against all rules and against another reader."""
        self.instance.close()
        check_rules(self.env, PATH)
        with Database.open(self.env, PATH) as database:
            found = {row["n"]: row for row in database.table("t").rows()}
            assert found.keys() == expected.keys()
            for number, row in expected.items():
                assert {name: found[number][name] for name in row} == row


def content(size: int, seed: int) -> bytes:
    """Bytes of which no part is like another one, but that compress."""
    return (b"%08d--------" * (size // 16 + 1) % tuple(range(seed, seed + size // 16 + 1)))[:size]


Step = tuple[str, int, int]
SIZES = st.one_of(st.integers(0, 40), st.integers(1000, 1100), st.integers(3900, 9000))
STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "append", "truncate", "read", "back"]), SIZES, SIZES),
    max_size=12,
)


def play(rig: Rig, column: str, steps: list[Step]) -> bytes:
    """Carry steps out on a value and on a model; return what it must be."""
    mark = rig.table.insert({"n": 1})
    model = io.BytesIO()
    file = rig.table.open_long(mark, column)
    for number, (what, place, size) in enumerate(steps):
        data = content(size, number)
        if what == "back":  # a change that is rolled back leaves everything as it was
            rig.session.begin()
            file.seek(place)
            file.write(data)
            file.truncate(size)
            rig.session.rollback()
        elif what == "truncate":
            assert file.truncate(size) == size
            model.truncate(size)
            model.seek(0, io.SEEK_END)
            model.write(bytes(size - model.tell()))
        elif what == "read":
            file.seek(place)
            model.seek(place)
            assert file.read(size) == model.read(size)
        else:
            origin = io.SEEK_END if what == "append" else io.SEEK_SET
            at = 0 if what == "append" else place
            assert file.seek(at, origin) == model.seek(at, origin)
            assert file.write(data) == len(data)
            model.write(data)
        assert file.size == len(model.getvalue())
    file.seek(0)
    assert file.readall() == model.getvalue()
    return model.getvalue()


@given(steps=STEPS, column=st.sampled_from(["body", "packed"]))
@settings(max_examples=60, deadline=None)
def test_parts_of_a_value_are_what_a_file_would_be(steps: list[Step], column: str) -> None:
    rig = Rig()
    expected = play(rig, column, steps)
    rig.check({1: {column: expected or rig.table.get(1)[column]}})  # type: ignore[index]


@pytest.mark.parametrize("page_size", [4096, 8192, 16384, 32768])
@pytest.mark.parametrize("column", ["body", "packed"])
def test_around_the_ends_of_chunks(page_size: int, column: str) -> None:
    rig = Rig(page_size)
    chunk = chunk_size(page_size)
    mark = rig.table.insert({"n": 1, column: content(chunk, 0)})
    file = rig.table.open_long(mark, column)
    model = bytearray(content(chunk, 0))
    for place in (chunk - 1, chunk, chunk + 1, 2 * chunk - 1, 3 * chunk + 5):
        for size in (1, 2, chunk - 1, chunk, chunk + 1):
            file.seek(place)
            file.write(content(size, place + size))
            model += bytes(max(0, place - len(model)))
            model[place : place + size] = content(size, place + size)
    for size in (3 * chunk, 2 * chunk + 1, 2 * chunk - 1, chunk + 1):
        file.truncate(size)
        del model[size:]
        file.seek(0)
        assert file.readall() == model
    rig.check({1: {column: bytes(model)}})


def test_a_node_may_grow_again_into_what_its_undo_would_take() -> None:
    rig = Rig()
    mark = rig.table.insert({"n": 1, "body": content(4014 + 3000, 1)})
    file = rig.table.open_long(mark, "body")
    with rig.session.transaction():
        file.truncate(4015)
        file.seek(4015)
        file.write(content(1000, 2))
        file.truncate(4020)
        file.seek(4020)
        file.write(content(2990, 3))
    expected = content(4014 + 3000, 1)[:4015] + content(5, 2) + content(2990, 3)
    rig.check({1: {"body": expected}})


def test_a_value_is_copied_through_in_small_parts() -> None:
    rig = Rig()
    data = content(300_000, 3)
    mark = rig.table.insert({"n": 1})
    with rig.session.transaction(), rig.table.open_long(mark, "body") as file:
        shutil.copyfileobj(io.BytesIO(data), file, 7_001)
    target = io.BytesIO()
    with rig.table.open_long(mark, "body") as file:
        shutil.copyfileobj(file, target, 9_000)
    assert target.getvalue() == data
    assert rig.values() == 1
    row = rig.table.get(1)
    assert row is not None
    rig.check({1: {"body": data, "version": row["version"]}})


def test_several_values() -> None:
    rig = Rig()
    mark = rig.table.insert({"n": 1, "several": [b"first", content(5000, 1)]})
    for number in (1, 0, 2):
        with rig.table.open_long(mark, "several", number) as file:
            file.seek(0, io.SEEK_END)
            file.write(b"+%d" % number)
    with pytest.raises(InvalidUse) as wrong:
        rig.table.open_long(mark, "several", 4).write(b"x")
    assert wrong.value.jet == Jet.errBadItagSequence
    assert rig.table.open_long(mark, "several", 4).read() == b""
    rig.check({1: {"several": [b"first+0", content(5000, 1) + b"+1", b"+2"]}})


def test_an_index_over_all_parts_of_a_text_follows() -> None:
    rig = Rig(indexes=[*INDEXES, WORDS])
    mark = rig.table.insert({"n": 1, "text": "alpha " * 200})
    assert not rig.table.cursor("words").seek("omega alph")
    with rig.table.open_long(mark, "text") as file:
        file.write(b"omega")
        file.truncate(1100)
    assert rig.table.cursor("words").seek("omega alph")
    with rig.table.open_long(mark, "text") as file:
        file.write(b"alpha")
    assert not rig.table.cursor("words").seek("omega alph")
    rig.check({1: {"text": ("alpha " * 200)[:1100]}})


def test_a_write_is_a_change_of_the_row() -> None:
    rig = Rig()
    mark = rig.table.insert({"n": 1, "body": content(5000, 1)})
    session, table = rig.other()
    with rig.session.transaction():
        rig.table.open_long(mark, "body").write(b"changed")
        assert table.open_long(mark, "body").read(7) == content(7, 1)
        with pytest.raises(WriteConflict):
            table.open_long(mark, "body").truncate(10)
        with pytest.raises(WriteConflict):
            table.copy(mark, {"n": 2})
    assert table.open_long(mark, "body").read(7) == b"changed"
    before = table.get(1)
    table.open_long(mark, "body").write(b"again")
    after = table.get(1)
    assert before is not None and after is not None
    assert after["version"] == before["version"] + 1  # type: ignore[operator]
    session.close()
    rig.check({1: {"body": b"agained" + content(5000, 1)[7:]}})


def no_value(rig: Rig, mark: bytes) -> None:
    rig.table.open_long(mark, "n")


def no_column(rig: Rig, mark: bytes) -> None:
    rig.table.open_long(mark, "nothing")


def too_long(rig: Rig, mark: bytes) -> None:
    file = rig.table.open_long(mark, "body")
    file.seek(MOST_BYTES)
    file.write(b"x")


def too_large(rig: Rig, mark: bytes) -> None:
    rig.table.open_long(mark, "body").truncate(MOST_BYTES + 1)


@pytest.mark.parametrize(
    ("use", "jet"),
    [
        (no_value, Jet.errInvalidColumnType),
        (no_column, Jet.errColumnNotFound),
        (too_long, Jet.errColumnTooBig),
        (too_large, Jet.errColumnTooBig),
    ],
)
def test_wrong_use(use: Callable[[Rig, bytes], None], jet: Jet) -> None:
    rig = Rig()
    mark = rig.table.insert({"n": 1, "body": b"as it was"})
    end = rig.instance.context.log.end
    with pytest.raises(InvalidUse) as wrong:
        use(rig, mark)
    assert wrong.value.jet == jet
    assert rig.instance.context.log.end == end


def test_a_row_that_is_gone_and_a_file_that_is_closed() -> None:
    rig = Rig()
    mark = rig.table.insert({"n": 1, "body": b"there"})
    file = rig.table.open_long(mark, "body")
    rig.table.delete(mark)
    with pytest.raises(RecordNotFound):
        file.read(1)
    with pytest.raises(RecordNotFound):
        file.write(b"x")
    file.close()
    with pytest.raises(ValueError):
        file.write(b"x")
    with pytest.raises(ValueError):
        rig.table.open_long(mark, "body").seek(-1)


# Rows that share values


def test_a_copy_shares_values_until_one_is_changed() -> None:
    rig = Rig()
    data = content(20_000, 1)
    mark = rig.table.insert({"n": 1, "body": data, "packed": data, "text": "short"})
    copy = rig.table.copy(mark, {"n": 2, "text": "other"})
    assert rig.values() == 2
    rig.table.open_long(copy, "body").write(b"mine")
    assert rig.values() == 3
    third = rig.table.copy(copy, {"n": 3, "packed": None})
    assert rig.values() == 3
    rig.table.delete(copy)
    assert rig.values() == 3
    rig.table.delete(mark)
    assert rig.values() == 1
    one = rig.table.get(3)
    assert one is not None
    assert (one["version"], one["number"]) == (0, 3)
    rig.table.delete(third)
    assert rig.values() == 0
    rig.table.insert({"n": 4})
    rig.check({4: {"body": None}})


def test_a_copy_is_taken_back() -> None:
    rig = Rig()
    mark = rig.table.insert({"n": 1, "body": content(20_000, 1)})
    rig.session.begin()
    rig.table.copy(mark, {"n": 2})
    rig.session.rollback()
    with pytest.raises(InvalidUse):
        rig.table.copy(mark, {"n": None})
    with pytest.raises(RecordNotFound):
        rig.table.copy(rig.table.bookmark(5), {"n": 2})
    assert rig.values() == 1
    rig.table.open_long(mark, "body").write(b"still alone")
    assert rig.values() == 1
    rig.check({1: {"body": b"still alone" + content(20_000, 1)[11:]}})


def delete_at_once(rig: Rig, mark: bytes, other_mark: bytes) -> None:
    """Delete two rows in transactions of two sessions, neither of which sees the other one."""
    other, table = rig.other()
    rig.session.begin()
    other.begin()
    rig.table.delete(mark)
    table.delete(other_mark)
    rig.session.commit()
    other.commit()


def test_the_last_two_references_go_at_the_same_time() -> None:
    rig = Rig()
    mark = rig.table.insert({"n": 1, "body": content(20_000, 1)})
    copy = rig.table.copy(mark, {"n": 2})
    delete_at_once(rig, mark, copy)
    assert rig.values() == 0
    rig.table.insert({"n": 9})
    rig.check({9: {"body": None}})


def test_a_crash_leaves_no_value_without_a_reference() -> None:
    rig = Rig()
    mark = rig.table.insert({"n": 1, "body": content(20_000, 1)})
    copy = rig.table.copy(mark, {"n": 2})
    rig.table.insert({"n": 3, "body": content(9_000, 3)})
    delete_at_once(rig, mark, copy)
    after = rig.env.crashed(Crash.ALL_LOST)
    with Instance.open(after, rig.settings):
        pass
    check_rules(after, PATH)
    with Database.open(after, PATH) as database:
        assert [row["body"] for row in database.table("t").rows()] == [content(9_000, 3)]
        values = database.table("t").long_values
        assert values is not None


@pytest.mark.parametrize("column", ["body", "packed"])
@pytest.mark.parametrize(
    ("at", "data", "end"),
    [(100, b"x" * 9000, 20_000), (20_000, b"y" * 9000, 29_000), (0, b"", 5000)],
)
def test_columns_show_values_as_they_were_in_the_view(
    column: str, at: int, data: bytes, end: int
) -> None:
    rig, old = Rig(), content(20_000, 1)
    mark = rig.table.insert({"n": 1, column: old})
    beside = rig.table.insert({"n": 2, column: content(20_000, 2)})
    other, table = rig.other()

    def shown() -> list[object]:
        found: list[object] = table.to_arrow([column]).column(column).to_pylist()
        return found

    with other.reading():
        before = shown()
        assert before == [old, content(20_000, 2)]
        with rig.session.transaction():
            with rig.table.open_long(mark, column) as body:
                body.seek(at)
                body.write(data)
                body.truncate(end)
            assert shown() == before  # changed, not committed
        assert shown() == before  # committed, but later than the view
    new = (old[:at] + data + old[at + len(data) :])[:end]
    assert shown() == [new, content(20_000, 2)]
    assert rig.table.row(beside) == table.row(beside)


def test_a_value_that_is_nowhere_is_damage() -> None:
    rig = Rig()
    mark = rig.table.insert({"n": 1, "body": content(20_000, 1)})
    rig.table.state.set_long_values(0, 0)
    before = rig.instance.context.log.end
    calls: list[Callable[[], object]] = [
        rig.table.open_long(mark, "body").read,
        lambda: rig.table.open_long(mark, "body").size,
        lambda: rig.table.row(mark),
        lambda: rig.table.copy(mark, {"n": 2}),
        lambda: rig.table.delete(mark),
    ]
    for number, call in enumerate(calls):
        with pytest.raises(DataDamaged) as error:
            call()
        assert error.value.jet == Jet.errLVCorrupted
        assert number > 2 or rig.instance.context.log.end == before  # who reads makes nothing
    assert rig.table.cursor().move(1)


def test_columns_of_a_template_and_of_a_table_have_values_of_their_own() -> None:
    rig = Rig()
    rig.session.create_table(rig.database, "base", COLUMNS[:2], INDEXES, template=True)
    own = [Column("own", Coltyp.LONG_BINARY), Column("text", Coltyp.LONG_TEXT, code_page=1252)]
    table = rig.session.create_table(rig.database, "derived", own, derived_from="base")
    body, other = content(9000, 1), content(9000, 2)
    mark = table.insert({"n": 1, "body": body, "own": other, "text": "short"})
    with table.open_long(mark, "body") as file:
        file.seek(10)
        file.write(b"z" * 3000)
    with table.open_long(mark, "own") as file:
        file.truncate(2000)
    with table.open_long(mark, "text") as file:
        file.write(b"long" * 500)
    body = body[:10] + b"z" * 3000 + body[3010:]
    expected = {"n": 1, "body": body, "own": other[:2000], "text": "long" * 500}
    assert table.get(1) == expected
    table.copy(mark, {"n": 2})
    assert table.to_arrow().to_pylist() == [expected, expected | {"n": 2}]
    rig.instance.close()
    check_rules(rig.env, PATH)
