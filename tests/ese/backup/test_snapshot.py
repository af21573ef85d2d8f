"""Snapshot backups: the copy recovers by itself; headers and logs as after a streaming one."""

from __future__ import annotations

import re
import time

import pytest

from hotsplit.errors import FreezeExpired, InvalidUse, Jet
from hotsplit.ese.backup.folder import back_up
from hotsplit.ese.backup.kinds import Kind
from hotsplit.ese.backup.snapshot import SnapshotBackup
from hotsplit.ese.format.basics import BackupInfo
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.backupstamp import BackupType
from hotsplit.ese.recovery.recover import recover
from tests.ese.backup.test_streaming import Shop
from tests.ese.engine.crashes import FOLDER, PATH, by_number
from tests.memoryenv import Crash, MemoryEnv


def test_a_snapshot_is_stamped_and_logs_go() -> None:
    shop = Shop(MemoryEnv())
    shop.work(30)
    shop.instance.checkpointer.advance()
    before = shop.archives()
    with SnapshotBackup(shop.instance) as backup:
        with pytest.raises(InvalidUse):
            backup.finish()
        with backup.freeze() as freeze:
            image = shop.env.crashed(Crash.ALL_LOST, 0)
        at_snapshot = dict(shop.rows[PATH])
        shop.work(10)
        backup.finish()
    assert freeze.report is not None
    header = shop.header()
    assert header.backup_full_previous == backup.info
    assert header.backup_type_full_previous == BackupType.SNAPSHOT
    assert backup.truncated[0] == before[0]
    recover(image, [FOLDER], [], "/out")
    with Database.open(image, "/out/items.edb") as database:
        assert by_number(database.table("Items").rows()) == at_snapshot
    incremental = back_up(shop.instance, "/incr", Kind.INCREMENTAL)
    for path, content in image.files(FOLDER).items():
        if path == PATH or re.search(r"E00\w+\.log$", path):
            shop.env.put(path.replace(FOLDER, "/forward"), content)
    assert incremental.info.low <= backup.info.high + 1
    recover(shop.env, ["/forward"], ["/forward", "/incr", FOLDER], "/out2")
    with Database.open(shop.env, "/out2/items.edb") as database:
        assert by_number(database.table("Items").rows()) == shop.rows[PATH]
    shop.instance.close()


def test_a_snapshot_that_took_too_long_counts_for_nothing() -> None:
    shop = Shop(MemoryEnv())
    shop.work(5)
    with SnapshotBackup(shop.instance, Kind.COPY) as backup:
        with pytest.raises(FreezeExpired), backup.freeze(0.05):
            time.sleep(0.2)
        with pytest.raises(InvalidUse) as early:
            backup.finish()
        assert early.value.jet == Jet.errInvalidBackupSequence
        with backup.freeze():
            pass
    assert shop.header().backup_copy_previous == BackupInfo()  # it was not finished
    assert shop.instance.logs.range().held == 0
    shop.instance.close()
