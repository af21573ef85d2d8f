"""Template tables and tables derived from them: as the published engine makes and fills them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hotsplit.errors import InvalidUse, Jet, KeyDuplicate, ObjectNotFound
from hotsplit.ese.check import integrity
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.columns import Coltyp, Value
from hotsplit.ese.read.database import Database
from hotsplit.report import Reporter, Severity
from tests.conftest import unpack_vector
from tests.ese.engine.crashes import Watched
from tests.ese.engine.test_tables import FOLDER, PATH, Rig
from tests.memoryenv import Crash, MemoryEnv

TEMPLATE = [
    Column("k", Coltyp.LONG, not_null=True),
    Column("baseV", Coltyp.TEXT, 60, code_page=1252),
    Column("baseT", Coltyp.LONG_TEXT),
]
TEMPLATE_INDEXES = [
    Index("pk", ["k"], primary=True),
    Index("i_base", ["baseV"]),
]
OWN = [
    Column("dF", Coltyp.LONG),
    Column("dV", Coltyp.BINARY, 60),
    Column("dT", Coltyp.LONG, multi_valued=True),
]
OWN_INDEXES = [Index("i_d", ["dF", "dV"])]
SETS = ["crash-p8192-mid", "crash-p4096-base", "crash-p32768-ddl"]
_OF_THE_RUN = {"ObjidTable", "Id", "ColtypOrPgnoFDP", "PagesOrLocale", "PgnoFDPLastSetTime"}
_TUNING = {"SpaceUsage", "SpaceHints", "KeyMost"}


def vector(name: str, shared: Path) -> MemoryEnv:
    env = MemoryEnv()
    env.put(PATH, (unpack_vector(name) / "recovered" / "test.edb").read_bytes())
    return env


def findings(env: Env) -> list[str]:
    reporter = Reporter()
    integrity.check_database(env, PATH, reporter)
    return [str(f) for f in reporter.findings if f.severity != Severity.NOTE]


def check(env: Env) -> None:
    assert not findings(env)


def catalog_rows(env: Env, *tables: str) -> list[dict[str, Any]]:
    """What the catalog says of tables, but for what depends on the rest of the database."""
    found, wanted = [], set()
    with Database.open(env, PATH) as database:
        for row in map(dict, database.table("MSysObjects").rows()):
            if row["Type"] == 1 and row["Name"] in tables:
                wanted.add(row["ObjidTable"])
            if row["ObjidTable"] in wanted and row["Type"] != 4:
                of_type = {"ColtypOrPgnoFDP", "Id", "PagesOrLocale"} if row["Type"] == 2 else set()
                hidden = _OF_THE_RUN - of_type | _TUNING
                found.append({k: v for k, v in row.items() if k not in hidden})
    return found


def template(rig: Rig) -> Table:
    return rig.session.create_table(
        rig.database, "Templ", TEMPLATE, TEMPLATE_INDEXES, template=True
    )


def derived(rig: Rig, name: str = "Derived") -> Table:
    return rig.session.create_table(rig.database, name, OWN, OWN_INDEXES, derived_from="Templ")


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    template(made)
    yield made
    made.instance.close()


def refused(jet: Jet, work: Callable[[], object]) -> None:
    with pytest.raises(InvalidUse) as error:
        work()
    assert error.value.jet == jet


# What the engine wrote


def test_the_catalog_says_what_the_engine_says(rig: Rig, shared: Path) -> None:
    derived(rig)
    rig.instance.close()
    wanted = catalog_rows(vector(SETS[0], shared), "Templ", "Derived")
    assert len(wanted) == 13
    assert catalog_rows(rig.env, "Templ", "Derived") == wanted


@pytest.mark.parametrize("name", SETS)
def test_rows_and_keys_are_made_as_the_engine_makes_them(name: str, shared: Path) -> None:
    env = vector(name, shared)
    with Database.open(env, PATH) as database:
        page_size = database.page_size
    settings = Settings(FOLDER, page_size=page_size)
    with Instance.open(env, settings) as instance, instance.session() as session:
        table = session.open_table(instance.attach_database(PATH), "Derived")
        state, reader = table.state, table.reader
        entries: dict[str, set[tuple[bytes, bytes]]] = {}
        count = same = 0
        with session.transaction():
            for key, record in state.tree.entries(session):
                pieces = state.rows.split(record)
                made_record = state.rows.join(pieces)
                same += made_record == record  # others keep what was in a column before it was NULL
                assert state.rows.split(made_record) == pieces
                assert state.primary is not None
                assert state.primary.keys(pieces, reader) == [key]
                for index in state.secondary:
                    made = entries.setdefault(index.name, set())
                    made |= {(one, key) for one in index.keys.keys(pieces, reader)}
                count += 1
            assert same > count // 2
            for index in state.secondary:
                found = set()
                mark = (b"", b"")
                while some := index.tree.entries_after(session, mark, inclusive=False):
                    found |= set(some)
                    mark = some[-1]
                assert found == entries[index.name]


@pytest.mark.parametrize("name", SETS)
def test_a_table_of_the_engine_is_gone_on_with(name: str, shared: Path) -> None:
    env = vector(name, shared)
    with Database.open(env, PATH) as database:
        page_size = database.page_size
        before = {row["k"]: dict(row) for row in database.table("Derived").rows()}
    known = findings(env)  # a page of one of the sets is in nobody's hands
    settings = Settings(FOLDER, page_size=page_size)
    model = dict(before)
    with Instance.open(env, settings) as instance, instance.session() as session:
        table = session.open_table(instance.attach_database(PATH), "Derived")
        change(table, model, random.Random(name), 60)
        table = session.create_table(
            instance.databases[1], "Mine", OWN, OWN_INDEXES, derived_from="Templ"
        )
        mine: dict[Any, dict[str, Value]] = {}
        change(table, mine, random.Random(name), 40)
    assert set(findings(env)) <= set(known)
    assert on_disk(env) == model
    assert on_disk(env, "Mine") == mine


# Rows


def row_of(rng: random.Random, number: int) -> dict[str, Value]:
    size = rng.choice((0, 5, 300, 3000))
    several: list[Value] = [None, [1], [3, 1, 2]]
    return {
        "k": number,
        "baseV": rng.choice((None, f"name {number}", "many")),
        "baseT": rng.choice((None, "x" * size)) or None,
        "dF": rng.choice((None, rng.randrange(100))),
        "dV": rng.choice((None, rng.randbytes(20))),
        "dT": rng.choice(several),
    }


def change(
    table: Table, model: dict[Any, dict[str, Value]], rng: random.Random, count: int
) -> None:
    """Insert, change and delete rows, as in the model."""
    for _ in range(count):
        number = rng.randrange(10_000)
        kind = rng.random()
        if kind < 0.6 or not model:
            row = row_of(rng, number)
            if number in model:
                with pytest.raises(KeyDuplicate):
                    table.insert(row)
            else:
                table.insert(row)
                model[number] = row
            continue
        number = rng.choice(list(model))
        mark = table.bookmark(number)
        if kind < 0.85:
            row = row_of(rng, number)
            part = dict(rng.sample(list(row.items()), 3)) | {"k": number}
            table.update(mark, part)
            model[number] = model[number] | part
        else:
            table.delete(mark)
            del model[number]


def on_disk(env: Env, name: str = "Derived") -> dict[Any, dict[str, Value]]:
    with Database.open(env, PATH) as database:
        return {row["k"]: dict(row) for row in database.table(name).rows()}


def sorted_names(model: Mapping[Any, Mapping[str, Value]]) -> list[Value]:
    return sorted((r["baseV"] for r in model.values()), key=lambda n: "" if n is None else str(n))


@pytest.mark.parametrize("seed", [1, 2])
def test_rows_of_a_derived_table(rig: Rig, seed: int) -> None:
    model: dict[Any, dict[str, Value]] = {}
    change(derived(rig), model, random.Random(seed), 150)
    rig.reopen()
    table = rig.session.open_table(rig.database, "Derived")
    change(table, model, random.Random(seed + 100), 100)
    assert {row["k"]: row for row in table.rows()} == model
    assert [row["baseV"] for row in table.rows("i_base")] == sorted_names(model)
    cursor = table.cursor("i_d")
    assert cursor.seek(next(row["dF"] for row in model.values() if row["dF"] is not None))
    names = [column.name for column in table.select(None)]
    read = [dict(zip(names, row, strict=True)) for b in table.batches() for row in b.values()]
    assert {row["k"]: row for row in read} == model
    rig.instance.close()
    check(rig.env)
    assert on_disk(rig.env) == model


def test_several_tables_of_one_template(rig: Rig) -> None:
    models: dict[str, dict[Any, dict[str, Value]]] = {"A": {}, "B": {}}
    for name, model in models.items():
        change(derived(rig, name), model, random.Random(name), 40)
    rig.session.drop_table(rig.database, "A")
    rig.instance.close()
    check(rig.env)
    assert on_disk(rig.env, "B") == models["B"]


def test_columns_and_indexes_added_to_a_derived_table(rig: Rig) -> None:
    table = derived(rig)
    table.insert({"k": 1, "baseT": "text", "dT": [5]})
    rig.session.add_column(table, Column("fixed", Coltyp.LONG, default=7))
    rig.session.add_column(table, Column("tagged", Coltyp.LONG_BINARY))
    rig.session.create_index(table, Index("both", ["-baseV", "tagged"]))
    table.insert({"k": 2, "baseV": "b", "fixed": 8, "tagged": b"t"})
    rig.session.drop_column(table, "dT")
    rig.session.rename_column(table, "dF", "number")
    table.update(table.bookmark(1), {"baseV": "a", "number": 3})
    rig.session.drop_index(table, "i_d")
    rig.instance.close()
    check(rig.env)
    assert list(on_disk(rig.env).values()) == [
        {"k": 1, "baseV": "a", "baseT": "text", "number": 3, "dV": None, "fixed": 7,
         "tagged": None},
        {"k": 2, "baseV": "b", "baseT": None, "number": None, "dV": None, "fixed": 8,
         "tagged": b"t"},
    ]  # fmt: skip


def test_counters_and_defaults_of_a_template() -> None:
    rig = Rig()
    columns = [
        Column("Id", Coltyp.LONG, autoincrement=True, not_null=True),
        Column("Version", Coltyp.LONG, version=True),
        Column("Note", Coltyp.TEXT, default="none", code_page=1252),
        Column("Long", Coltyp.LONG_TEXT, default="long", tagged=True),
        Column("Count", Coltyp.LONG, escrow=True, default=0),
    ]
    pk = Index("pk", ["Id"], primary=True)
    rig.session.create_table(rig.database, "Base", columns, [pk], template=True)
    table = rig.session.create_table(
        rig.database, "Mine", [Column("Own", Coltyp.LONG)], derived_from="Base"
    )
    mark = table.insert({"Own": 4})
    table.insert({"Own": 5, "Note": None})
    table.add(mark, "Count", 3)
    table.update(mark, {"Own": 6})
    rig.instance.close()
    check(rig.env)
    with Database.open(rig.env, PATH) as database:
        first, second = (dict(row) for row in database.table("Mine").rows())
    assert first == {
        "Id": 1, "Version": 1, "Note": "none", "Long": "long", "Count": 3, "Own": 6,
    }  # fmt: skip
    assert (second["Id"], second["Own"]) == (2, 5)


def test_a_table_without_a_primary_index_of_its_template() -> None:
    rig = Rig()
    rig.session.create_table(rig.database, "Base", TEMPLATE, template=True)
    own = [Index("pk", ["dF", "k"], primary=True)]
    table = rig.session.create_table(rig.database, "A", OWN, own, derived_from="Base")
    hidden = rig.session.create_table(rig.database, "B", OWN, derived_from="Base")
    for number in range(5):
        table.insert({"k": number, "dF": -number})
        hidden.insert({"k": number})
    rig.instance.close()
    check(rig.env)
    assert list(on_disk(rig.env, "A")) == [4, 3, 2, 1, 0]
    assert list(on_disk(rig.env, "B")) == [0, 1, 2, 3, 4]


# What cannot be


def test_what_is_refused(rig: Rig) -> None:
    session, database = rig.session, rig.database
    table = derived(rig)
    base = session.open_table(database, "Templ")
    size = len(rig.env.get(PATH))
    for jet, work in (
        (Jet.errCannotDeleteTemplateTable, lambda: session.drop_table(database, "Templ")),
        (Jet.errFixedDDL, lambda: session.add_column(base, OWN[0])),
        (Jet.errFixedDDL, lambda: session.create_index(base, Index("x", ["baseV"]))),
        (Jet.errFixedDDL, lambda: session.drop_column(base, "baseV")),
        (Jet.errFixedDDL, lambda: session.drop_index(base, "i_base")),
        (Jet.errFixedDDL, lambda: session.rename_table(database, "Templ", "Other")),
        (Jet.errFixedInheritedDDL, lambda: session.drop_index(table, "i_base")),
        (Jet.errFixedInheritedDDL, lambda: session.drop_column(table, "baseT")),
        (Jet.errFixedInheritedDDL, lambda: session.rename_column(table, "baseT", "new")),
        (Jet.errColumnDuplicate, lambda: session.add_column(table, TEMPLATE[1])),
        (Jet.errColumnDuplicate, lambda: session.rename_column(table, "dF", "basev")),
        (Jet.errIndexDuplicate, lambda: session.create_index(table, TEMPLATE_INDEXES[1])),
        (Jet.errCannotNestDDL, lambda: session.create_table(
            database, "T", OWN, template=True, derived_from="Templ")),
        (Jet.errDDLNotInheritable, lambda: session.create_table(
            database, "T", OWN, derived_from="Derived")),
        (Jet.errColumnDuplicate, lambda: session.create_table(
            database, "T", TEMPLATE, derived_from="Templ")),
        (Jet.errIndexHasPrimary, lambda: session.create_table(
            database, "T", OWN, [Index("other", ["dF"], primary=True)], derived_from="Templ")),
    ):  # fmt: skip
        refused(jet, work)
    with pytest.raises(ObjectNotFound):
        session.create_table(database, "T", OWN, derived_from="None")
    rig.instance.close()
    assert len(rig.env.get(PATH)) == size
    check(rig.env)


# Crashes


@pytest.mark.parametrize("crash", [Crash.ALL_LOST, Crash.TORN])
def test_crashes(crash: Crash) -> None:
    env = Watched()
    env.mkdir(FOLDER)
    env.sync_dir("/")
    settings = Settings(FOLDER, page_size=4096, log_size=64 << 10, checkpoint_depth=64 << 10)
    rng, images = random.Random(crash.value), list[tuple[MemoryEnv, dict[Any, Any]]]()
    instance = Instance.open(env, settings)
    database = instance.create_database(PATH)
    session = instance.session()
    session.create_table(database, "Templ", TEMPLATE, TEMPLATE_INDEXES, template=True)
    table = session.create_table(database, "Derived", OWN, OWN_INDEXES, derived_from="Templ")
    model: dict[Any, dict[str, Value]] = {}
    for _ in range(12):
        with session.transaction():
            change(table, model, rng, 12)
        images.append((env.crashed(crash, rng.randrange(1 << 30)), dict(model)))
    for image, expected in images[::3]:
        with Instance.open(image, settings):
            pass
        check(image)
        assert on_disk(image) == expected


def test_a_crash_in_the_middle_of_a_derived_table() -> None:
    env = Watched()
    env.mkdir(FOLDER)
    env.sync_dir("/")
    settings = Settings(FOLDER, log_size=64 << 10)
    instance = Instance.open(env, settings)
    database, session = instance.create_database(PATH), instance.session()
    session.create_table(database, "Templ", TEMPLATE, TEMPLATE_INDEXES, template=True)
    session.begin()
    session.create_table(database, "Derived", OWN, OWN_INDEXES, derived_from="Templ")
    instance.context.log.flush()
    image = env.crashed(Crash.ALL_KEPT)
    with Instance.open(image, settings) as again, again.session() as other:
        assert again.attach_database(PATH).table_names() == ["Templ"]
        made = other.create_table(
            again.databases[1], "Derived", OWN, OWN_INDEXES, derived_from="Templ"
        )
        made.insert({"k": 1, "baseV": "v"})
    assert on_disk(image)[1]["baseV"] == "v"
