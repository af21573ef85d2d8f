"""Streaming backups of an instance at work: hard recovery of what they write gives its rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest

from hotsplit.errors import (
    AccessDenied,
    BackupNeedsRestore,
    FileTruncated,
    InstanceDown,
    InvalidUse,
    Jet,
    LogDamaged,
    LogsMissing,
    PageDamaged,
    TargetExists,
)
from hotsplit.ese.backup.databasereader import BATCH
from hotsplit.ese.backup.folder import BackupSet, back_up
from hotsplit.ese.backup.kinds import Kind
from hotsplit.ese.backup.streaming import Backup
from hotsplit.ese.engine.database import OpenDatabase
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.session import Session
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.engine.upkeep.maintenance import shrink
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.format.basics import BackupInfo
from hotsplit.ese.format.columns import Value
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.events import EventId
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.recover import recover
from tests.ese.engine.crashes import COLUMNS, FOLDER, INDEXES, PATH, Rows, Watched, by_number
from tests.ese.engine.events import Events
from tests.ese.engine.shape import check_database
from tests.memoryenv import MemoryEnv

HARD = Options(hard=True, ignore_missing=True)


class Shop:
    """An instance with databases of one table each, and what is in them."""

    def __init__(self, env: MemoryEnv, *paths: str, page_size: int = 4096) -> None:
        self.env = env
        env.mkdir(FOLDER)
        env.sync_dir("/")
        self.settings = Settings(
            FOLDER, page_size=page_size, log_size=max(64 << 10, 4 * page_size),
            checkpoint_depth=128 << 10, cache_size=256 << 10,
        )  # fmt: skip
        self.instance = Instance.open(env, self.settings)
        self.session: Session = self.instance.session()
        self.tables: dict[str, Table] = {}
        self.databases: dict[str, OpenDatabase] = {}
        self.rows: dict[str, Rows] = {}
        self._next = 0
        for path in paths or (PATH,):
            self.databases[path] = database = self.instance.create_database(path)
            self.tables[path] = self.session.create_table(database, "Items", COLUMNS, INDEXES)
            self.rows[path] = {}

    def work(self, transactions: int = 10, path: str = PATH) -> None:
        """Insert and change rows, without waiting for the disk."""
        rows, table = self.rows[path], self.tables[path]
        for _ in range(transactions):
            with self.session.transaction(lazy=True):
                for number in range(self._next, self._next + 20):
                    row: dict[str, Value] = {
                        "Id": number, "Size": number % 7, "Name": f"n{number}",
                        "Tags": ["a", f"t{number % 5}"], "Body": bytes([number % 251]) * 300,
                    }  # fmt: skip
                    table.insert(row)
                    rows[number] = row
                changed = list(rows)[len(rows) // 2]
                table.update(table.bookmark(changed), {"Size": 1000 + self._next})
                rows[changed] = rows[changed] | {"Size": 1000 + self._next}
            self._next += 20

    def header(self, path: str = PATH) -> DatabaseHeader:
        """Return the header as it is on the disk."""
        with DatabaseFile.open(self.env, path) as file:
            return file.header

    def archives(self) -> list[int]:
        return self.instance.context.files.archives()


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop(MemoryEnv())
    yield made
    made.instance.close()


def restored(env: MemoryEnv, *folders: str, name: str = "items.edb", into: str = "/out") -> Rows:
    """Recover the databases of the first set with the logs of all; return the rows of one."""
    recover(env, [folders[0]], list(folders), into, HARD)
    check_database(env, f"{into}/{name}")
    with Database.open(env, f"{into}/{name}") as database:
        return by_number(database.table("Items").rows())


def pass_through(backup: Backup, shop: Shop) -> dict[str, bytes]:
    """Read a backup while rows change between any two batches; return its files."""
    files = {}
    for reader in backup.databases:
        content = bytearray()
        for chunk in reader.chunks():
            assert len(chunk) <= BATCH
            content += chunk
            shop.work(1, reader.database.path)
        assert len(content) == reader.size
        files[PurePosixPath(reader.database.path).name] = bytes(content)
    for generation in backup.prepare_logs():
        files[backup.log_name(generation)] = b"".join(backup.read_log(generation))
    return files


def keep(env: MemoryEnv, folder: str, files: dict[str, bytes]) -> None:
    env.mkdir(folder)
    for name, content in files.items():
        env.put(f"{folder}/{name}", content)


def test_a_file_does_not_become_shorter_under_the_reader(shop: Shop) -> None:
    shop.work(90)
    with shop.session.transaction(lazy=True):
        for number in range(200, 1800):
            shop.tables[PATH].delete(shop.tables[PATH].bookmark(number))
            del shop.rows[PATH][number]
    backup = Backup(shop.instance)
    (reader,) = backup.databases
    chunks = reader.chunks()
    content = b"".join(next(chunks) for _ in range(3))
    with pytest.raises(InvalidUse) as caught:
        shrink(shop.session, shop.databases[PATH])
    assert caught.value.jet == Jet.errBackupInProgress
    files = {"items.edb": content + b"".join(chunks)}
    assert len(files["items.edb"]) == reader.size
    for generation in backup.prepare_logs():
        files[backup.log_name(generation)] = b"".join(backup.read_log(generation))
    backup.finish()
    keep(shop.env, "/set", files)
    assert restored(shop.env, "/set") == shop.rows[PATH]
    assert shrink(shop.session, shop.databases[PATH]).cut


@pytest.mark.parametrize("page_size", [4096, 8192, 32768])
def test_pages_that_change_behind_the_reader_come_from_the_logs(page_size: int) -> None:
    shop = Shop(MemoryEnv(), page_size=page_size)
    shop.work(40)
    with Backup(shop.instance) as backup:
        files = pass_through(backup, shop)
        at_prepare = dict(shop.rows[PATH])
        shop.work(5)
        backup.finish()
    keep(shop.env, "/set", files)
    assert shop.header().backup_full_previous == backup.info
    shop.instance.close()
    with DatabaseFile.open(shop.env, "/set/items.edb") as copy:
        assert copy.has_trailer
        assert copy.trailer is not None
        low, high = copy.trailer.log_range
        assert backup.info.low == low < high <= backup.info.high
    with pytest.raises(BackupNeedsRestore):
        recover(shop.env, ["/set"], [], "/soft")
    assert restored(shop.env, "/set") == at_prepare
    # ... and rolls forward with the logs of the instance
    assert restored(shop.env, "/set", FOLDER, into="/out2") == shop.rows[PATH]


def test_a_full_backup_stamps_headers_and_deletes_old_logs(shop: Shop) -> None:
    shop.work(60)
    shop.instance.checkpointer.advance()
    before = shop.archives()
    made = back_up(shop.instance, "/full")
    assert made.info == shop.header().backup_full_previous
    assert made.info.mark.generation
    assert made.truncated[0] == before[0]
    checkpoint = shop.instance.logs.range().checkpoint
    assert shop.archives() == list(range(made.truncated[1] + 1, made.info.high + 1))
    assert made.truncated[1] < checkpoint
    assert shop.env.listdir("/full") == [
        *(f"E00{n:08X}.log" for n in range(made.info.low, made.info.high + 1)),
        "items.edb",
    ]
    assert restored(shop.env, "/full") == shop.rows[PATH]
    with pytest.raises(TargetExists):
        back_up(shop.instance, "/full")


def test_incremental_and_differential_backups_join_on(shop: Shop) -> None:
    with pytest.raises(InvalidUse) as first:
        back_up(shop.instance, "/incr", Kind.INCREMENTAL)
    assert first.value.jet == Jet.errMissingFullBackup
    shop.work(20)
    back_up(shop.instance, "/full")
    shop.work(20)
    shop.instance.checkpointer.advance()
    here = shop.archives()
    differential = back_up(shop.instance, "/diff", Kind.DIFFERENTIAL)
    assert differential.truncated == (0, 0)
    assert shop.archives()[: len(here)] == here
    assert shop.header().backup_differential_previous == differential.info
    at_differential = dict(shop.rows[PATH])
    shop.work(20)
    shop.instance.checkpointer.advance()
    one = back_up(shop.instance, "/incr1", Kind.INCREMENTAL)
    assert one.truncated[0] == here[0]
    at_one = dict(shop.rows[PATH])
    shop.work(20)
    two = back_up(shop.instance, "/incr2", Kind.INCREMENTAL)
    assert shop.header().backup_incremental_previous == two.info
    assert two.databases == []
    env = shop.env
    assert restored(env, "/full", "/diff", into="/o1") == at_differential
    assert restored(env, "/full", "/incr1", into="/o2") == at_one
    assert restored(env, "/full", "/incr1", "/incr2", into="/o3") == shop.rows[PATH]
    with pytest.raises(LogsMissing):
        restored(env, "/full", "/incr2", into="/o4")
    back_up(shop.instance, "/full2")
    header = shop.header()
    assert header.backup_incremental_previous == BackupInfo()
    assert header.backup_differential_previous == BackupInfo()


def test_a_copy_leaves_the_cycle_alone(shop: Shop) -> None:
    shop.work(10)
    full = back_up(shop.instance, "/full")
    shop.work(30)
    shop.instance.checkpointer.advance()
    here = shop.archives()
    copy = back_up(shop.instance, "/copy", Kind.COPY)
    assert shop.archives()[: len(here)] == here
    header = shop.header()
    assert (header.backup_full_previous, header.backup_copy_previous) == (full.info, copy.info)
    assert restored(shop.env, "/copy") == shop.rows[PATH]


def test_a_missing_log_between_backups_is_noticed(shop: Shop) -> None:
    full = back_up(shop.instance, "/full")
    shop.work(40)
    shop.env.remove(shop.instance.context.files.archive_path(full.info.high + 1))
    with pytest.raises(LogsMissing) as missing:
        back_up(shop.instance, "/incr", Kind.INCREMENTAL)
    assert missing.value.jet == Jet.errMissingFileToBackup
    assert not shop.env.exists("/incr")


def test_databases_in_and_out_of_backups() -> None:
    one, two = f"{FOLDER}/one.edb", f"{FOLDER}/two.edb"
    shop = Shop(MemoryEnv(), one, two)
    shop.work(20, one)
    shop.work(20, two)
    shop.instance.checkpointer.advance()
    everything = shop.archives()
    first = back_up(shop.instance, "/one", databases=[shop.databases[one]])
    assert first.truncated == (0, 0)  # the other one was never backed up
    assert shop.archives()[0] == everything[0]
    assert shop.header(two).backup_full_previous == BackupInfo()
    second = back_up(shop.instance, "/two", databases=[shop.databases[two]])
    assert second.truncated[0] == everything[0]
    assert second.truncated[1] < first.info.high
    third = back_up(shop.instance, "/both")
    assert third.databases == [(one, "one.edb"), (two, "two.edb")]
    env, rows = shop.env, shop.rows
    assert restored(env, "/one", name="one.edb", into="/o1") == rows[one]
    assert restored(env, "/both", name="two.edb", into="/o2") == rows[two]
    shop.instance.close()


def test_several_backups_at_a_time_keep_each_others_logs(shop: Shop) -> None:
    shop.work(20)
    slow = Backup(shop.instance, Kind.COPY)
    files = {}
    for reader in slow.databases:
        files["items.edb"] = b"".join(reader.chunks())
    shop.work(40)
    shop.instance.checkpointer.advance()
    assert shop.instance.logs.range().checkpoint > slow.info.low
    back_up(shop.instance, "/full")
    assert shop.archives()[0] <= slow.info.low == shop.instance.logs.range().held
    for generation in slow.prepare_logs():
        files[slow.log_name(generation)] = b"".join(slow.read_log(generation))
    slow.finish()
    assert shop.instance.logs.range().held == 0
    keep(shop.env, "/slow", files)
    assert restored(shop.env, "/slow") == shop.rows[PATH]


def test_the_one_that_began_last_is_what_later_ones_join_on_to(shop: Shop) -> None:
    """Headers tell of it, also when one that began before ends behind it and holds more logs."""
    shop.work(10)
    first = Backup(shop.instance, Kind.FULL)
    shop.work(10)
    later = back_up(shop.instance, "/later")
    shop.work(60)
    keep(shop.env, "/first", pass_through(first, shop))
    shop.instance.checkpointer.advance()
    first.finish()
    assert shop.header().backup_full_previous == later.info
    assert 0 < later.info.high < first.info.high
    shop.work(10)
    back_up(shop.instance, "/incremental", Kind.INCREMENTAL)
    for folder, into in (("/later", "/out"), ("/first", "/out1")):
        found = restored(shop.env, folder, "/incremental", into=into)
        assert found == shop.rows[PATH]


def test_two_backups_to_one_folder_do_not_meet() -> None:
    env, refused = Watched(), list[str]()
    shop = Shop(env)
    shop.work(10)

    def meet(kind: str, path: str) -> None:
        if kind == "sync" and path.startswith("/full") and not refused:
            refused.append(path)
            with pytest.raises(AccessDenied):
                back_up(shop.instance, "/full")

    env.moment = meet
    back_up(shop.instance, "/full")
    assert refused == ["/full.hotsplit-work/items.edb"]
    assert restored(env, "/full") == shop.rows[PATH]
    with pytest.raises(TargetExists):
        back_up(shop.instance, "/full")
    assert not env.exists("/full.hotsplit-work")
    shop.instance.close()


def test_circular_logging_waits_for_a_backup() -> None:
    shop = Shop(MemoryEnv())
    shop.instance.close()
    circular = Settings(
        FOLDER, page_size=4096, log_size=64 << 10, checkpoint_depth=64 << 10, circular=True
    )
    shop.instance = Instance.open(shop.env, circular)
    shop.session = shop.instance.session()
    database = shop.instance.attach_database(PATH)
    shop.tables[PATH] = shop.session.open_table(database, "Items")
    with Backup(shop.instance) as backup:
        files = pass_through(backup, shop)
        shop.work(60)
        shop.instance.checkpointer.advance()
        assert backup.info.low in shop.archives()
        backup.finish()
    with pytest.raises(InvalidUse) as refused:
        Backup(shop.instance, Kind.INCREMENTAL)
    assert refused.value.jet == Jet.errInvalidBackup
    shop.work(60)
    shop.instance.checkpointer.advance()
    assert backup.info.low not in shop.archives()
    keep(shop.env, "/set", files)
    recover(shop.env, ["/set"], [], "/out", HARD)
    shop.instance.close()


def test_a_bad_page_stops_the_backup_unless_it_can_be_corrected(shop: Shop) -> None:
    shop.work(100)
    shop.instance.context.cache.flush(shop.databases[PATH].dbid)
    content = shop.env._content(PATH).live
    content[41 * 4096 + 2000] ^= 0x10  # one bit of page 40
    made = back_up(shop.instance, "/good", Kind.COPY)
    assert [(f.rule, f.position) for f in made.findings] == [("page-corrected", "page 40")]
    assert restored(shop.env, "/good") == shop.rows[PATH]
    content[51 * 4096 + 2000 : 51 * 4096 + 2010] = bytes(10)
    here = shop.archives()
    with pytest.raises(PageDamaged) as damaged:
        back_up(shop.instance, "/bad")
    assert (damaged.value.jet, damaged.value.position) == (Jet.errReadVerifyFailure, "page 50")
    assert not [name for name in shop.env.listdir("/") if name.startswith("bad")]
    assert shop.header().backup_full_previous == BackupInfo()
    assert shop.archives() == here
    assert shop.instance.logs.range().held == 0


def test_a_lost_write_stops_the_backup(shop: Shop) -> None:
    shop.work(30)
    shop.instance.context.cache.flush(shop.databases[PATH].dbid)
    before = shop.env.get(PATH)
    shop.work(30)
    shop.instance.context.cache.flush(shop.databases[PATH].dbid)
    content = shop.env._content(PATH).live
    size = shop.settings.page_size
    offsets = range(2 * size, len(before), size)
    pages = [at for at in offsets if content[at + 8 : at + 16] != before[at + 8 : at + 16]]
    lost = max(at for at in pages if any(before[at : at + size]))
    content[lost : lost + size] = before[lost : lost + size]  # a sound page, but an old one
    with pytest.raises(PageDamaged) as found:
        back_up(shop.instance, "/full")
    assert found.value.jet == Jet.errReadLostFlushVerifyFailure
    assert found.value.position == f"page {lost // size - 1}"
    assert shop.header().backup_full_previous == BackupInfo()


def test_a_damaged_log_stops_the_backup(shop: Shop) -> None:
    back_up(shop.instance, "/full")
    shop.work(30)
    path = shop.instance.context.files.archive_path(shop.archives()[-1])
    content = bytearray(shop.env.get(path))
    content[5 * 4096 + 100 : 5 * 4096 + 120] = b"x" * 20
    shop.env.put(path, bytes(content))
    with pytest.raises(LogDamaged) as damaged:
        back_up(shop.instance, "/incr", Kind.INCREMENTAL)
    assert damaged.value.jet == Jet.errLogReadVerifyFailure


def test_a_file_that_somebody_cuts_stops_the_backup(shop: Shop) -> None:
    shop.work(60)
    shop.instance.context.cache.flush(shop.databases[PATH].dbid)
    content = shop.env._content(PATH).live
    whole = bytes(content)
    with Backup(shop.instance) as backup:
        (reader,) = backup.databases
        chunks = reader.chunks()
        next(chunks)
        del content[102 * 4096 :]
        with pytest.raises(FileTruncated) as cut:
            list(chunks)
        content[:] = whole
    assert (cut.value.file, cut.value.position) == (PATH, "page 101")
    assert not reader.complete


def test_calls_out_of_turn_are_refused(shop: Shop) -> None:
    shop.work(5)
    backup = Backup(shop.instance)

    def refused(call: object, jet: Jet = Jet.errInvalidBackupSequence) -> None:
        assert callable(call)
        with pytest.raises(InvalidUse) as error:
            call()
        assert error.value.jet == jet

    refused(backup.finish)
    refused(backup.prepare_logs)
    refused(lambda: shop.instance.detach_database(shop.databases[PATH]), Jet.errBackupInProgress)
    list(backup.databases[0].chunks())
    refused(lambda: list(backup.databases[0].chunks()))
    generations = backup.prepare_logs()
    refused(backup.finish, Jet.errLogFileNotCopied)
    for generation in generations:
        list(backup.read_log(generation))
    backup.finish()
    refused(backup.finish)
    refused(backup.prepare_logs)
    refused(lambda: Backup(shop.instance, databases=[]), Jet.errInvalidParameter)


def test_the_instance_ends_in_the_middle(shop: Shop) -> None:
    backup = Backup(shop.instance)
    shop.instance.close()
    with pytest.raises(InstanceDown) as ended:
        backup.prepare_logs()
    assert ended.value.jet == Jet.errBackupAbortByServer
    backup.abort()


def test_the_set_says_what_was_written(shop: Shop) -> None:
    shop.work(10)
    made: BackupSet = back_up(shop.instance, "/full", patch_files=True)
    assert made.databases == [(PATH, "items.edb")]
    assert shop.env.get("/full/items.pat") == b""
    sizes = [len(shop.env.get(f"/full/{name}")) for name in shop.env.listdir("/full")]
    assert made.size == sum(sizes)


def test_events_tell_what_became_of_a_backup(shop: Shop) -> None:
    shop.instance.watch = seen = Events()

    def told() -> list[EventId]:
        found, seen.numbers = seen.numbers, []
        return found

    shop.work(40)
    shop.instance.checkpointer.advance()
    back_up(shop.instance, "/full")
    assert told() == [
        *(EventId.FULL_BACKUP_BEGINS, EventId.BACKUP_FILE_OPENED, EventId.BACKUP_FILE_READ),
        *(EventId.BACKUP_LOG_RANGE, EventId.LOGS_DELETED, EventId.BACKUP_FINISHED),
    ]
    back_up(shop.instance, "/incr", Kind.INCREMENTAL)
    assert told() == [
        *(EventId.LOG_BACKUP_BEGINS, EventId.BACKUP_LOG_RANGE),
        *(EventId.NO_LOGS_DELETED, EventId.BACKUP_FINISHED),
    ]
    with Backup(shop.instance, Kind.COPY):
        pass
    assert told() == [EventId.FULL_BACKUP_BEGINS, EventId.BACKUP_ABORTED]
    with pytest.raises(ZeroDivisionError), Backup(shop.instance, Kind.COPY):
        raise ZeroDivisionError
    assert told()[-1] == EventId.BACKUP_FAILED
    with Backup(shop.instance, Kind.COPY):
        shop.instance.close()
    assert told()[-1] == EventId.BACKUP_ENDED_BY_SERVER
