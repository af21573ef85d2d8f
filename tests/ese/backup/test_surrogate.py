"""Surrogate backups: what another machine backed up is noted, and logs go that nobody needs."""

from __future__ import annotations

import pytest

from hotsplit.errors import InvalidUse, Jet
from hotsplit.ese.backup.folder import back_up
from hotsplit.ese.backup.kinds import Kind
from hotsplit.ese.backup.surrogate import SurrogateBackup
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.format.basics import BackupInfo
from hotsplit.ese.recovery.backupstamp import BackupType
from tests.ese.backup.test_streaming import Shop
from tests.ese.engine.crashes import FOLDER, PATH
from tests.memoryenv import MemoryEnv


def busy() -> Shop:
    shop = Shop(MemoryEnv())
    shop.work(60)
    shop.instance.checkpointer.advance()
    return shop


@pytest.mark.parametrize("kind", [Kind.FULL, Kind.COPY])
def test_headers_tell_of_it_and_logs_go(kind: Kind) -> None:
    shop = busy()
    before = shop.archives()
    last = before[-1] - 1
    with SurrogateBackup(shop.instance, kind, first=before[0], last=last) as backup:
        shop.instance.logs.truncate(last)
        assert shop.archives()[0] == before[0]  # they stay as long as the backup goes on
        shop.work(5)
        backup.finish()
    header = shop.header()
    if kind == Kind.FULL:
        assert header.backup_full_previous == backup.info
        assert header.backup_type_full_previous == BackupType.SNAPSHOT
        assert shop.archives()[0] == min(last + 1, shop.instance.checkpointer.position >> 32)
    else:
        assert header.backup_copy_previous == backup.info
        assert header.backup_full_previous == BackupInfo()
        assert shop.archives()[0] == before[0]
    assert (backup.info.low, backup.info.high) == (before[0], last)
    if kind == Kind.FULL:
        incremental = back_up(shop.instance, "/incr", Kind.INCREMENTAL)
        assert incremental.info.low <= last + 1
    shop.instance.close()


def test_one_that_is_not_finished_counts_for_nothing() -> None:
    shop = busy()
    before = shop.archives()
    with SurrogateBackup(shop.instance, first=1, last=before[-1]):
        pass
    assert shop.header().backup_full_previous == BackupInfo()
    assert shop.archives() == before
    shop.instance.close()


def test_what_is_refused() -> None:
    shop = busy()
    current = shop.instance.context.log.generation
    for first, last in (0, 1), (2, 1), (1, current + 1):
        with pytest.raises(InvalidUse) as error:
            SurrogateBackup(shop.instance, first=first, last=last)
        assert error.value.jet == Jet.errInvalidParameter
    with pytest.raises(InvalidUse) as error:
        SurrogateBackup(shop.instance, Kind.INCREMENTAL, first=1, last=1)
    assert error.value.jet == Jet.errMissingFullBackup
    assert shop.instance.context.holds.lowest() is None
    shop.instance.close()
    env = MemoryEnv()
    env.mkdir(FOLDER)
    with Instance.open(env, Settings(FOLDER, circular=True)) as instance:
        instance.create_database(PATH)
        with pytest.raises(InvalidUse) as error:
            SurrogateBackup(instance, first=1, last=1)
        assert error.value.jet == Jet.errInvalidBackup
