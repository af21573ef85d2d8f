"""Restore instances: databases come back beside those that serve."""

from __future__ import annotations

import pytest

from hotsplit.errors import (
    BackupNeedsRestore,
    DatabaseMismatch,
    DataDamaged,
    DirtyDatabase,
    FileMissing,
    InvalidUse,
    Jet,
    LogsMissing,
    TargetExists,
)
from hotsplit.ese.backup.folder import back_up
from hotsplit.ese.backup.kinds import Kind
from hotsplit.ese.backup.restore import restore
from hotsplit.ese.backup.restoreenv import RestoreEnv
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.format.basics import LogPosition
from tests.ese.backup.test_streaming import Shop
from tests.ese.engine.crashes import FOLDER, PATH, Rows, by_number
from tests.ese.engine.shape import check_database
from tests.memoryenv import MemoryEnv

ASIDE = Settings("/aside", "RST", page_size=4096, log_size=64 << 10)


def rows_of(instance: Instance, name: str = "items.edb") -> Rows:
    found = next(d for d in instance.databases.values() if d.path == f"/aside/{name}")
    with instance.session() as session:
        return by_number(session.open_table(found, "Items").rows())


def test_rows_come_back_while_the_original_goes_on() -> None:
    shop = Shop(MemoryEnv())
    shop.work(20)
    back_up(shop.instance, "/full")
    at_backup = dict(shop.rows[PATH])
    shop.work(20)
    with restore(shop.env, ["/full"], ASIDE) as aside:
        assert rows_of(aside) == at_backup
        shop.work(5)
        (database,) = aside.databases.values()
        with aside.session() as session, session.transaction():
            session.open_table(database, "Items").insert({"Id": 1_000_000})
        assert len(rows_of(aside)) == len(at_backup) + 1
        assert len(by_number(shop.tables[PATH].rows())) == len(shop.rows[PATH])
        with pytest.raises(TargetExists):
            restore(shop.env, ["/full"], ASIDE)
    check_database(shop.env, "/aside/items.edb")
    assert "RST.log" in shop.env.listdir("/aside")
    shop.instance.close()


def test_a_file_says_what_was_restored() -> None:
    shop = Shop(MemoryEnv())
    shop.work(20)
    full = back_up(shop.instance, "/full")
    shop.work(20)
    more = back_up(shop.instance, "/more", Kind.INCREMENTAL)
    restore(shop.env, ["/full", "/more/"], ASIDE).close()
    told = RestoreEnv.read(shop.env, "/aside")
    assert told.sets == ["/full", "/more/"]
    assert (told.folder, told.base, told.time) == ("/aside", "RST", shop.env.now().isoformat())
    assert (told.low, told.high) == (full.info.low, more.info.high)
    (one,) = told.databases
    assert (one.name, one.source, one.target) == (
        "items.edb",
        "/full/items.edb",
        "/aside/items.edb",
    )
    assert one.signature == str(shop.instance.databases[1].header.db_signature)
    for wrong in b"", b"\xff\0", b"[restore]\nsets = a\n", b"[restore]\ngenerations = x\n":
        shop.env.remove("/aside/restore.env")
        shop.env.put("/aside/restore.env", wrong)
        with pytest.raises(DataDamaged):
            RestoreEnv.read(shop.env, "/aside")


def test_a_serving_instance_gives_its_logs() -> None:
    shop = Shop(MemoryEnv())
    shop.work(20)
    full = back_up(shop.instance, "/full")
    shop.work(20)
    middle = dict(shop.rows[PATH])
    with shop.instance.context.lock:
        shop.instance.context.log.roll()
        position = LogPosition(shop.instance.context.log.generation - 1, 0, 0)
    shop.work(20)
    with restore(shop.env, ["/full"], ASIDE, forward=shop.instance) as aside:
        assert rows_of(aside) == shop.rows[PATH]
    assert shop.instance.logs.range().held == 0
    shop.work(5)
    shop.env.remove_tree("/aside")
    with restore(shop.env, ["/full"], ASIDE, forward=shop.instance, until=position) as aside:
        assert rows_of(aside) == middle
    assert full.info.high < position.generation
    shop.instance.close()


def test_some_databases_of_a_set() -> None:
    one, two = f"{FOLDER}/one.edb", f"{FOLDER}/two.edb"
    shop = Shop(MemoryEnv(), one, two)
    shop.work(10, one)
    shop.work(10, two)
    back_up(shop.instance, "/full")
    shop.work(10, two)
    back_up(shop.instance, "/incr", Kind.INCREMENTAL)
    with restore(shop.env, ["/full", "/incr"], ASIDE, databases=["two.edb"]) as aside:
        assert [d.path for d in aside.databases.values()] == ["/aside/two.edb"]
        assert rows_of(aside, "two.edb") == shop.rows[two]
    shop.instance.close()


def test_what_was_not_restored_cannot_be_attached() -> None:
    shop = Shop(MemoryEnv())
    shop.work(5)
    back_up(shop.instance, "/full")
    with Instance.open(shop.env, ASIDE) as aside:
        with pytest.raises(BackupNeedsRestore):
            aside.attach_database("/full/items.edb")
        shop.env.copy(PATH, "/dirty.edb")
        with pytest.raises(DirtyDatabase):
            aside.attach_database("/dirty.edb")
        shop.instance.close()
        shop.env.remove("/dirty.edb")
        shop.env.copy(PATH, "/clean.edb")
        aside.attach_database("/clean.edb")


def test_what_cannot_be_restored_leaves_nothing() -> None:
    shop = Shop(MemoryEnv())
    shop.work(20)
    made = back_up(shop.instance, "/full")
    with pytest.raises(InvalidUse):
        restore(shop.env, [], ASIDE)
    shop.env.remove(f"/full/E00{made.info.high:08X}.log")
    with pytest.raises(LogsMissing):
        restore(shop.env, ["/full"], ASIDE)
    assert not [name for name in shop.env.listdir("/") if name.startswith("aside")]
    wrong = Settings("/aside", "RST", page_size=8192)
    back_up(shop.instance, "/copy", Kind.COPY)
    with pytest.raises(DatabaseMismatch) as mismatch:
        restore(shop.env, ["/copy"], wrong)
    assert mismatch.value.jet == Jet.errPageSizeMismatch
    assert not shop.env.exists("/aside")
    shop.instance.close()


def test_sets_without_a_database_in_front() -> None:
    shop = Shop(MemoryEnv())
    shop.work(20)
    back_up(shop.instance, "/full")
    shop.work(20)
    back_up(shop.instance, "/more", Kind.INCREMENTAL)
    with pytest.raises(FileMissing) as error:
        restore(shop.env, ["/more", "/full"], ASIDE)
    assert error.value.file == "/more"
    assert not shop.env.exists("/aside")
    shop.instance.close()
