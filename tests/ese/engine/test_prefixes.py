"""Pages whose keys have much in common are divided: logs replay that."""

from __future__ import annotations

import random

import pytest

from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.format.columns import Coltyp
from hotsplit.ese.read.database import Database
from tests.ese.engine.crashes import Rows
from tests.ese.engine.shape import check_database
from tests.memoryenv import Crash, MemoryEnv

FOLDER, PATH = "/sg", "/sg/items.edb"
SETTINGS = Settings(FOLDER, page_size=4096, log_size=1 << 20)
COLUMNS = [Column("Id", Coltyp.LONG, not_null=True), Column("Key", Coltyp.BINARY)]
INDEXES = [Index("pk", ["Id"], primary=True), Index("by_key", ["Key"])]


@pytest.mark.parametrize("seed", range(3))
def test_keys_of_two_kinds_on_one_page(seed: int) -> None:
    """Long keys with a common prefix, of which a page holds many, beside short ones."""
    rng = random.Random(seed)
    rows: Rows = {}
    env = MemoryEnv()
    env.mkdir(FOLDER)
    env.sync_dir("/")
    instance = Instance.open(env, SETTINGS)
    session = instance.session()
    table = session.create_table(instance.create_database(PATH), "Items", COLUMNS, INDEXES)
    for number in range(1500):
        key = b"p" * rng.choice((10, 200, 240)) + rng.randbytes(5)
        rows[number] = {"Id": number, "Key": key}
        with session.transaction(lazy=True):
            table.insert(rows[number])
    instance.wait_durable()
    image = env.crashed(Crash.ALL_LOST)
    instance.close()
    with Instance.open(image, SETTINGS):
        pass
    for files in env, image:
        check_database(files, PATH)
        with Database.open(files, PATH) as db:
            assert {row["Id"]: dict(row) for row in db.table("Items").rows()} == rows
