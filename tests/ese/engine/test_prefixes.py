"""Pages whose keys have much in common are divided and put together: logs replay that."""

from __future__ import annotations

import random

import pytest

from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.engine.upkeep.maintenance import defragment
from hotsplit.ese.format.columns import Coltyp
from hotsplit.ese.read.database import Database
from tests.ese.engine.crashes import Rows
from tests.ese.engine.shape import check_database
from tests.memoryenv import Crash, MemoryEnv

FOLDER, PATH = "/sg", "/sg/items.edb"
SETTINGS = Settings(FOLDER, page_size=4096, log_size=1 << 20)
COLUMNS = [Column("Id", Coltyp.LONG, not_null=True), Column("Key", Coltyp.BINARY)]
INDEXES = [Index("pk", ["Id"], primary=True), Index("by_key", ["Key"])]


def begun(settings: Settings) -> tuple[MemoryEnv, Instance, Table]:
    env = MemoryEnv()
    env.mkdir(FOLDER)
    env.sync_dir("/")
    instance = Instance.open(env, settings)
    database = instance.create_database(PATH)
    return env, instance, instance.session().create_table(database, "Items", COLUMNS, INDEXES)


def check(env: MemoryEnv, instance: Instance, rows: Rows) -> None:
    """Check the database after its end, and after a crash now."""
    instance.wait_durable()
    image = env.crashed(Crash.ALL_LOST)
    settings = instance.context.settings
    instance.close()
    with Instance.open(image, settings):
        pass
    for files in env, image:
        check_database(files, PATH)
        with Database.open(files, PATH) as db:
            assert {row["Id"]: dict(row) for row in db.table("Items").rows()} == rows


@pytest.mark.parametrize("seed", range(3))
def test_keys_of_two_kinds_on_one_page(seed: int) -> None:
    """Long keys with a common prefix, of which a page holds many, beside short ones."""
    rng = random.Random(seed)
    rows: Rows = {}
    env, instance, table = begun(SETTINGS)
    for number in range(1500):
        key = b"p" * rng.choice((10, 200, 240)) + rng.randbytes(5)
        rows[number] = {"Id": number, "Key": key}
        with table.session.transaction(lazy=True):
            table.insert(rows[number])
    check(env, instance, rows)


@pytest.mark.parametrize("every", [2, 4])
def test_leaves_whose_whole_keys_are_more_than_a_record_says(every: int) -> None:
    """Nodes of more than 64 KB, whole keys counted, are on a page; the log has two bytes for it."""
    env, instance, table = begun(Settings(FOLDER, page_size=32768))
    rows: Rows = {}
    numbers = list(range(12000))
    random.Random(1).shuffle(numbers)
    with table.session.transaction(lazy=True):
        for number in numbers:
            rows[number] = {"Id": number, "Key": b"p" * 240 + number.to_bytes(4, "big")}
            table.insert(rows[number])
    with table.session.transaction(lazy=True):
        for number in range(12000):
            if number % every:
                del rows[number]
                table.delete(table.bookmark(number))
    instance.context.safe_point()
    assert defragment(table.session, instance.databases[1]).joined > 0
    check(env, instance, rows)
