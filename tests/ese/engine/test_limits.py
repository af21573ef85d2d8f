"""What the format or the engine cannot hold is refused, and nothing has changed then."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import pytest

from hotsplit.errors import (
    DatabaseMismatch,
    FileMissing,
    FileTruncated,
    HotsplitError,
    InvalidUse,
    Jet,
    TargetExists,
    UnsupportedVersion,
    WriteConflict,
)
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index, plan_columns
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.format.columns import LAST_ID, Coltyp, Value
from hotsplit.ese.format.header import DatabaseHeader, choose_header
from hotsplit.ese.read.database import Database
from tests.ese.engine.shape import check_database
from tests.ese.engine.test_tables import FOLDER, ID, NAME, PATH, PK, Rig
from tests.memoryenv import Crash, MemoryEnv


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.instance.close()


def refused(jet: Jet, work: Callable[[], object]) -> None:
    with pytest.raises(InvalidUse) as error:
        work()
    assert error.value.jet == jet


# Values and rows


def test_the_largest_record(rig: Rig) -> None:
    columns = [Column(f"C{n}", Coltyp.BINARY) for n in range(40)]
    table = rig.table(ID, *columns, indexes=(PK,))
    full: dict[str, Value] = {column.name: b"x" * 255 for column in columns}
    refused(Jet.errRecordTooBig, lambda: table.insert({"Id": 1, **full}))
    fits = dict(list(full.items())[:30])
    table.insert({"Id": 1, **fits})
    refused(Jet.errRecordTooBig, lambda: table.update(table.bookmark(1), full))
    assert rig.on_disk() == [{"Id": 1, **dict.fromkeys(full), **fits}]


def test_more_values_than_a_record_holds_are_refused_before_any_is_stored(rig: Rig) -> None:
    table = rig.table(ID, Column("Body", Coltyp.LONG_BINARY, multi_valued=True), indexes=(PK,))
    values: Value = [b"value"] * 1500
    refused(Jet.errRecordTooBig, lambda: table.insert({"Id": 1, "Body": values}))
    assert table.state.long_values is None
    values = [b"v" * 50] * 500
    table.insert({"Id": 2, "Body": values})
    assert table.state.long_values is not None
    assert rig.on_disk() == [{"Id": 2, "Body": values}]


def test_ids_of_long_values_run_out(rig: Rig) -> None:
    table = rig.table(ID, Column("Body", Coltyp.LONG_BINARY), indexes=(PK,))
    table.insert({"Id": 1, "Body": b"b" * 5000})
    assert table.state.long_values is not None
    table.state.long_values._last = 0x7FFFFEFE
    table.insert({"Id": 2, "Body": b"c" * 5000})
    refused(Jet.errOutOfLongValueIDs, lambda: table.insert({"Id": 3, "Body": b"d" * 5000}))
    table.insert({"Id": 3, "Body": b"short"})
    rig.reopen()
    table = rig.session.open_table(rig.database, "T")
    refused(Jet.errOutOfLongValueIDs, lambda: table.insert({"Id": 4, "Body": b"e" * 5000}))
    rows = rig.on_disk()
    assert [row["Body"] for row in rows] == [b"b" * 5000, b"c" * 5000, b"short"]


@pytest.mark.parametrize(
    ("coltyp", "last"), [(Coltyp.LONG, (1 << 31) - 1), (Coltyp.LONG_LONG, (1 << 63) - 1)]
)
def test_counters_run_out(rig: Rig, coltyp: Coltyp, last: int) -> None:
    counter = Column("Id", coltyp, autoincrement=True, not_null=True)
    table = rig.table(counter, NAME, indexes=(PK,))
    table.insert({"Id": last - 1})
    table.insert({"Name": "last"})
    refused(Jet.errOutOfAutoincrementValues, lambda: table.insert({"Name": "more"}))
    assert [row["Id"] for row in rig.on_disk()] == [last - 1, last]


def test_a_number_that_no_row_can_have_is_not_counted(rig: Rig) -> None:
    table = rig.table(Column("Id", Coltyp.LONG, autoincrement=True), indexes=(PK,))
    mark = table.insert({})
    for number in (1 << 31, 1 << 63, -1 << 40):
        row: dict[str, Value] = {"Id": number}
        refused(Jet.errInvalidColumnType, functools.partial(table.insert, row))
        refused(Jet.errInvalidColumnType, functools.partial(table.insert_many, [row]))
        refused(Jet.errInvalidColumnType, functools.partial(table.update, mark, row))
        refused(Jet.errInvalidColumnType, functools.partial(table.copy, mark, row))
    table.insert({})
    table.insert({"Id": -(1 << 31)})
    table.insert({})
    assert [row["Id"] for row in table.rows()] == [-(1 << 31), 1, 2, 3]


def test_object_ids_run_out(rig: Rig) -> None:
    rig.table(ID, indexes=(PK,))
    rig.database.objid_last = 0x7FFFFFFF
    refused(Jet.errOutOfObjectIDs, lambda: rig.table(ID, name="More"))
    assert rig.database.table_names() == ["T"]


# Schema


@pytest.mark.parametrize(
    ("kind", "most"), [({}, 127), ({"fixed": False}, 128), ({"tagged": True}, 3000)]
)
def test_columns_of_each_kind(rig: Rig, kind: dict[str, bool], most: int) -> None:
    def columns(count: int) -> list[Column]:
        return [Column(f"c{n}", Coltyp.BINARY, 1, **kind) for n in range(count)]

    if "tagged" not in kind:
        kind = kind or {"fixed": True}
        refused(Jet.errTooManyColumns, lambda: rig.table(*columns(most + 1), name="More"))
    table = rig.table(*columns(most))
    table.insert({f"c{most - 1}": b"x"})
    if "tagged" not in kind:
        extra = Column("more", Coltyp.BINARY, 1, **kind)
        refused(Jet.errTooManyColumns, lambda: rig.session.add_column(table, extra))
    assert rig.on_disk()[0][f"c{most - 1}"] == b"x"


def test_as_many_tagged_columns_as_there_are_ids() -> None:
    columns = [Column(f"c{n}", Coltyp.LONG, tagged=True) for n in range(LAST_ID - 255)]
    assert plan_columns(columns)[-1].id == LAST_ID
    refused(Jet.errTooManyColumns, lambda: plan_columns([*columns, Column("x", Coltyp.LONG_TEXT)]))


@pytest.mark.parametrize(
    "name", ["", " x", "x" * 65, "a!b", "a[b", "\u4e2d", "a\n", "a\x81", "a\x85"]
)
def test_names_that_cannot_be(rig: Rig, name: str) -> None:
    table = rig.table(ID, NAME, indexes=(PK,))
    for work in (
        lambda: rig.table(ID, name=name),
        lambda: rig.session.add_column(table, Column(name, Coltyp.LONG)),
        lambda: rig.session.create_index(table, Index(name, ["Id"])),
        lambda: rig.session.rename_table(rig.database, "T", name),
        lambda: rig.session.rename_column(table, "Name", name),
    ):
        refused(Jet.errInvalidName, work)
    assert rig.database.table_names() == ["T"]


# Files


def test_paths_that_cannot_be(rig: Rig) -> None:
    end = rig.instance.context.log.end
    before = rig.env.files()
    with pytest.raises(FileMissing) as missing:
        rig.instance.create_database("/nowhere/a.edb")
    assert missing.value.jet == Jet.errInvalidPath
    for path in (PATH, FOLDER):
        with pytest.raises(TargetExists):
            rig.instance.create_database(path)
    for path in (f"{FOLDER}/E00.log", f"{FOLDER}/E00.chk"):
        refused(Jet.errInvalidPath, functools.partial(rig.instance.create_database, path))
    with pytest.raises(FileMissing):
        rig.instance.attach_database(f"{FOLDER}/none.edb")
    with pytest.raises(HotsplitError):
        rig.instance.attach_database(f"{FOLDER}/E00.log")
    assert rig.env.files() == before
    assert rig.instance.context.log.end == end


def changed_header(rig: Rig, change: Callable[[DatabaseHeader], None]) -> MemoryEnv:
    rig.instance.close()
    data = rig.env.get(PATH)
    header = choose_header(data[: 2 * 8192]).header
    change(header)
    env = MemoryEnv()
    env.random(1)  # its stream of logs is another one
    env.put("/other.edb", header.sealed() * 2 + data[2 * 8192 :])
    return env


@pytest.mark.parametrize(
    ("revision", "jet"),
    [
        (9, Jet.errInvalidDatabaseVersion),
        (17, Jet.errInvalidDatabaseVersion),
        (310, Jet.errEngineFormatVersionNotYetImplementedTooHigh),
        (70000, Jet.errEngineFormatVersionNotYetImplementedTooHigh),
    ],
)
def test_databases_of_other_revisions(rig: Rig, revision: int, jet: Jet) -> None:
    env = changed_header(rig, lambda header: setattr(header, "update_major", revision))
    with Instance.open(env, rig.settings) as instance:
        before, end = env.get("/other.edb"), instance.context.log.end
        with pytest.raises(UnsupportedVersion) as error:
            instance.attach_database("/other.edb")
        assert error.value.jet == jet
        assert (env.get("/other.edb"), instance.context.log.end) == (before, end)
        instance.create_database("/new.edb")


def test_long_values_of_newer_databases_have_wide_ids(rig: Rig) -> None:
    rig.table(ID, Column("Body", Coltyp.LONG_BINARY), indexes=(PK,))
    env = changed_header(rig, lambda header: setattr(header, "update_major", 110))
    for first in (0, 2):
        with Instance.open(env, rig.settings) as instance, instance.session() as session:
            table = session.open_table(instance.attach_database("/other.edb"), "T")
            for number in range(first, first + 2):
                table.insert({"Id": number, "Body": bytes([number]) * 20_000})
            table.delete(table.bookmark(first))
    found = check_database(env, "/other.edb").nodes["T/LV"]
    assert [node.key.hex() for node in found if len(node.key) == 8] == [
        "8000000080000002",
        "8000000080000004",
    ]
    with Database.open(env, "/other.edb") as database:
        assert [row["Body"] for row in database.table("T").rows()] == [
            bytes([1]) * 20_000,
            bytes([3]) * 20_000,
        ]


def test_databases_of_another_page_size(rig: Rig) -> None:
    env = changed_header(rig, lambda header: None)
    with Instance.open(env, Settings(FOLDER, page_size=4096, log_size=64 << 10)) as instance:
        with pytest.raises(DatabaseMismatch) as error:
            instance.attach_database("/other.edb")
        assert error.value.jet == Jet.errPageSizeMismatch


@pytest.mark.parametrize(
    ("page_size", "log_size", "fits"),
    [(32768, 64 << 10, False), (32768, 68 << 10, True), (16384, 64 << 10, True)],
)
def test_logs_must_hold_two_pages(page_size: int, log_size: int, fits: bool) -> None:
    env = MemoryEnv()
    env.mkdir(FOLDER)

    def work() -> None:
        Instance.open(env, Settings(FOLDER, page_size=page_size, log_size=log_size)).close()

    if fits:
        work()
    else:
        refused(Jet.errInvalidSettings, work)
    assert bool(env.files(FOLDER)) == fits


@pytest.mark.parametrize("crash", [None, Crash.ALL_KEPT])
def test_a_stream_keeps_its_sizes(rig: Rig, crash: Crash | None) -> None:
    table = rig.table(ID, indexes=(PK,))
    table.insert({"Id": 1})
    env = rig.env if crash is None else rig.env.crashed(crash)
    rig.instance.close()
    before = env.files()
    for settings in Settings(FOLDER, log_size=64 << 10), Settings(FOLDER, log_size=512 << 10):
        refused(Jet.errLogFileSizeMismatch, functools.partial(Instance.open, env, settings))
    with pytest.raises(DatabaseMismatch) as error:
        Instance.open(env, Settings(FOLDER, page_size=4096, log_size=256 << 10))
    assert error.value.jet == Jet.errPageSizeMismatch
    assert env.files() == before
    with Instance.open(env, rig.settings) as instance, instance.session() as session:
        assert session.open_table(instance.attach_database(PATH), "T").get(1) == {"Id": 1}


def test_a_database_is_not_detached_under_a_transaction(rig: Rig) -> None:
    table = rig.table(ID, indexes=(PK,))
    with rig.session.transaction():
        table.insert({"Id": 1})
        with rig.instance.session() as other:
            other.begin()
            refused(Jet.errDatabaseInUse, lambda: rig.instance.detach_database(rig.database))
            other.rollback()
        refused(Jet.errDatabaseInUse, lambda: rig.instance.detach_database(rig.database))
    rig.session.drop_table(rig.database, "T")
    rig.instance.detach_database(rig.database)
    assert rig.instance.attach_database(PATH).table_names() == []


@pytest.mark.parametrize(
    "wrong", [{"databases": 0}, {"databases": 256}, {"cache_size": -1}, {"checkpoint_depth": -1}]
)
def test_settings_that_make_no_sense(wrong: dict[str, int]) -> None:
    refused(Jet.errInvalidParameter, lambda: Settings(FOLDER, **wrong))  # type: ignore[arg-type]


def test_more_databases_than_the_headers_of_logs_can_name() -> None:
    env = MemoryEnv()
    folder = f"{FOLDER}/{'long' * 60}"
    env.mkdir(folder)
    env.sync_dir("/")
    with Instance.open(env, Settings(FOLDER, databases=255, log_size=64 << 10)) as instance:
        paths = [f"{folder}/{number}.edb" for number in range(9)]
        made = [instance.create_database(path) for path in paths[:3]]
        refused(Jet.errTooManyAttachedDatabases, lambda: instance.create_database(paths[3]))
        assert env.listdir(folder) == [f"{n}.{end}" for n in range(3) for end in ("edb", "jfm")]
        instance.detach_database(made[0])
        instance.create_database(paths[3])
        refused(Jet.errTooManyAttachedDatabases, lambda: instance.attach_database(paths[0]))
        for _ in range(3):
            instance.context.log.roll()
        after = env.crashed(Crash.ALL_KEPT)
    with Instance.open(after, Settings(FOLDER, log_size=64 << 10)) as instance:
        assert instance.restarted is not None
        assert instance.restarted.databases == paths[:4]


@pytest.mark.parametrize("pages", [1, 2, 100, -1])
def test_a_database_that_was_cut_is_not_attached(rig: Rig, pages: int) -> None:
    rig.instance.close()
    whole = rig.env.get(PATH)
    end = len(whole) - 8192 if pages < 0 else pages * 8192
    cut = Rig(MemoryEnv())
    cut.env.put(f"{FOLDER}/cut.edb", whole[:end])
    with pytest.raises(FileTruncated) as error:
        cut.instance.attach_database(f"{FOLDER}/cut.edb")
    assert error.value.jet == Jet.errFileIOBeyondEOF
    assert cut.env.get(f"{FOLDER}/cut.edb") == whole[:end]
    cut.instance.close()


@pytest.mark.parametrize("pages", [0, -1, 1 << 31])
def test_a_table_has_pages(rig: Rig, pages: int) -> None:
    def make() -> None:
        rig.session.create_table(rig.database, "T", [ID], pages=pages)

    refused(Jet.errInvalidParameter, make)


def test_one_column_counts_rows_and_one_their_changes(rig: Rig) -> None:
    number, version = (
        Column("N", Coltyp.LONG, autoincrement=True),
        Column("V", Coltyp.LONG, version=True),
    )
    table = rig.table(number, version)
    for flag in ("autoincrement", "version"):
        more = Column("M", Coltyp.LONG, **{flag: True})
        refused(Jet.errColumnRedundant, functools.partial(rig.session.add_column, table, more))
        make = functools.partial(rig.table, number, version, more, name="X")
        refused(Jet.errColumnRedundant, make)
    both = Column("B", Coltyp.LONG, autoincrement=True, version=True)
    refused(Jet.errInvalidParameter, lambda: rig.table(both, name="X"))
    rig.session.drop_column(table, "N")
    rig.session.add_column(table, Column("M", Coltyp.LONG, autoincrement=True))
    check_on_disk(rig)


def test_an_escrow_column_comes_before_the_rows(rig: Rig) -> None:
    table = rig.table(ID)
    rig.session.add_column(table, Column("E", Coltyp.LONG, escrow=True, default=0))
    mark = table.insert({"Id": 1})
    table.add(mark, "E", 4)
    late = Column("F", Coltyp.LONG, escrow=True, default=0)
    refused(Jet.errTableNotEmpty, lambda: rig.session.add_column(table, late))


def test_what_an_open_transaction_deleted_may_come_back(rig: Rig) -> None:
    """So a table is not empty for a column that all its rows must have."""
    table = rig.table(ID, indexes=(PK,))
    table.insert({"Id": 1})
    with rig.instance.session() as other:
        theirs = other.open_table(rig.database, "T")
        other.begin()
        theirs.delete(theirs.bookmark(1))
        for column in (
            Column("E", Coltyp.LONG, escrow=True, default=0),
            Column("N", Coltyp.LONG, not_null=True),
        ):
            with pytest.raises(WriteConflict):
                rig.session.add_column(table, column)
        other.rollback()
    assert list(table.rows()) == [{"Id": 1}]
    check_on_disk(rig)


@pytest.mark.parametrize(
    ("column", "jet"),
    [
        (Column("E", Coltyp.LONG, escrow=True, default=0, version=True), Jet.errInvalidParameter),
        (
            Column("E", Coltyp.LONG, escrow=True, default=0, autoincrement=True),
            Jet.errInvalidParameter,
        ),
        (Column("D", Coltyp.TEXT, default=""), Jet.errInvalidParameter),
        (Column("D", Coltyp.LONG_BINARY, default=b""), Jet.errInvalidParameter),
        (Column("F", Coltyp.BINARY, size=250, fixed=True), Jet.errRecordTooBig),
    ],
)
def test_columns_that_cannot_be(rig: Rig, column: Column, jet: Jet) -> None:
    wide = [Column(f"W{n}", Coltyp.BINARY, size=255, fixed=True) for n in range(30)]
    table = rig.table(ID, *wide, indexes=(PK,))
    refused(jet, lambda: rig.session.add_column(table, column))
    refused(jet, lambda: rig.table(ID, *wide, column, name="X"))
    assert rig.database.table_names() == ["T"]
    check_on_disk(rig)


def test_a_long_value_is_no_longer_than_its_column(rig: Rig) -> None:
    limited = Column("L", Coltyp.LONG_BINARY, size=10, multi_valued=True)
    table = rig.table(ID, limited, indexes=(PK,))
    mark = table.insert({"Id": 1, "L": [b"x" * 10, b"y"]})
    values: list[Value] = [b"x" * 11, b"x" * 5000, [b"", b"x" * 11]]
    for value in values:
        row: dict[str, Value] = {"Id": 2, "L": value}
        refused(Jet.errColumnTooBig, functools.partial(table.insert, row))
        refused(Jet.errColumnTooBig, functools.partial(table.insert_many, [row]))
        refused(Jet.errColumnTooBig, functools.partial(table.update, mark, {"L": value}))
    with table.open_long(mark, "L", 1) as part:
        part.seek(8)
        part.write(b"zz")
        refused(Jet.errColumnTooBig, lambda: part.write(b"z"))
        refused(Jet.errColumnTooBig, lambda: part.truncate(11))
    assert table.get(1) == {"Id": 1, "L": [b"x" * 10, b"y" + bytes(7) + b"zz"]}
    check_on_disk(rig)


@pytest.mark.parametrize(
    "index",
    [
        Index("pk", ["Several"], primary=True),
        Index("pk", ["Id", "Several"], primary=True),
        Index("pk", ["Id"], primary=True, nulls=False),
        Index("pk", ["Id"], primary=True, conditions=["Several"]),
        Index("i", ["Id"], conditions=["Id"] * 17),
    ],
)
def test_indexes_in_which_not_every_row_has_one_key(rig: Rig, index: Index) -> None:
    several = Column("Several", Coltyp.LONG, multi_valued=True)
    refused(Jet.errIndexInvalidDef, lambda: rig.table(ID, several, indexes=(index,)))
    table = rig.table(ID, several)
    refused(Jet.errIndexInvalidDef, lambda: rig.session.create_index(table, index))
    assert rig.database.table_names() == ["T"]
    check_on_disk(rig)


def test_a_type_and_names_that_there_are(rig: Rig) -> None:
    refused(Jet.errInvalidColumnType, lambda: rig.table(Column("x", 99)))  # type: ignore[arg-type]
    twice = Index("i", ["Id"]), Index("I", ["Id"])
    refused(Jet.errIndexDuplicate, lambda: rig.table(ID, indexes=twice))


@pytest.mark.parametrize("name", ["MSysObjects", "MSysObjectsShadow", "MSysObjids"])
def test_rows_of_the_catalog_are_the_engine_s(rig: Rig, name: str) -> None:
    rig.table(ID, indexes=(PK,)).insert({"Id": 1})
    table = rig.session.open_table(rig.database, name)
    rows = list(table.rows())
    cursor = table.cursor()
    assert cursor.last()
    mark = cursor.bookmark
    for change in (
        cursor.delete,
        functools.partial(table.update, mark, {}),
        functools.partial(table.copy, mark, {}),
        functools.partial(table.insert, rows[0]),
        functools.partial(table.insert_many, rows),
    ):
        refused(Jet.errPermissionDenied, change)
    assert list(table.rows()) == rows
    check_on_disk(rig)


def check_on_disk(rig: Rig) -> None:
    rig.instance.close()
    check_database(rig.env, PATH)
