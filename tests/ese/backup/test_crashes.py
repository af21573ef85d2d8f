"""Crashes and failing disks at every moment of a backup: nothing needed is lost, none looks done.

Promised after a crash: the instance recovers with all durable commits; a folder of a backup that
has its name can be restored; the logs that a backup before needs to roll forward are there, or
are in the backup that made them go.
"""

from __future__ import annotations

import random

import pytest

from hotsplit.errors import DiskFull, HotsplitError
from hotsplit.ese.backup.folder import back_up
from hotsplit.ese.backup.kinds import Kind
from hotsplit.ese.engine.database import OpenDatabase
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.format.basics import BackupInfo
from tests.ese.backup.test_streaming import Shop, restored
from tests.ese.engine.crashes import FOLDER, PATH, Rows, Watched, by_number
from tests.ese.engine.shape import check_database
from tests.faultenv import FaultEnv
from tests.memoryenv import Crash


class _Campaign:
    """A backup cycle on files that are looked at before some of their changes."""

    def __init__(self, seed: int, often: float) -> None:
        self._rng, self._often = random.Random(seed), often
        self.env = Watched()
        self.env.sync_dir("/")
        self.shop = Shop(self.env)
        self.env.sync_dir("/")
        self.tried = 0
        self._sets: list[tuple[list[str], Rows]] = []

    def run(self) -> None:
        shop = self.shop
        shop.work(10)
        self._back_up("/full", Kind.FULL, [])
        self.env.moment = self._moment
        shop.work(15)
        shop.instance.checkpointer.advance()
        self._back_up("/incr", Kind.INCREMENTAL, ["/full"])
        shop.work(15)
        shop.instance.checkpointer.advance()
        self._back_up("/full2", Kind.FULL, [])
        self._back_up("/diff", Kind.DIFFERENTIAL, ["/full2"])
        self.env.moment = lambda kind, path: None
        shop.instance.close()

    def _back_up(self, folder: str, kind: Kind, before: list[str]) -> None:
        self.shop.instance.context.log.flush()
        back_up(self.shop.instance, folder, kind)
        self._sets.append(([*before, folder], dict(self.shop.rows[PATH])))

    def _moment(self, kind: str, path: str) -> None:
        if self._rng.random() < self._often:
            crash = self._rng.choice(list(Crash))
            image = self.env.image(crash, self._rng.randrange(1 << 30))
            try:
                self._check(image)
            except Exception as error:
                raise AssertionError(f"{kind} {path}, {crash}: {error!r}") from error

    def _check(self, image: Watched) -> None:
        self.tried += 1
        with Instance.open(image, self.shop.settings) as instance, instance.session() as session:
            table = session.open_table(instance.attach_database(PATH), "Items")
            live = by_number(table.rows())
        check_database(image, PATH)
        for number, (folders, rows) in enumerate(self._sets):
            assert restored(image, *folders, into=f"/out{number}") == rows
        folders = self._sets[-1][0]
        done = [name for name in ("incr", "full2", "diff") if image.exists(f"/{name}")]
        newer = [f"/{name}" for name in done if f"/{name}" not in folders]
        if newer == ["/full2"]:
            folders = newer
            newer = []
        # the last set and what is newer roll forward to what was durable
        assert restored(image, *folders, *newer, FOLDER, into="/forward") == live


@pytest.mark.parametrize("seed", range(2))
def test_crashes_in_the_middle_of_backups(seed: int) -> None:
    campaign = _Campaign(seed, 0.035)
    campaign.run()
    assert campaign.tried > 5


def test_replay_stamps_a_header_that_was_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    env = Watched()
    shop = Shop(env)
    shop.work(10)
    images: list[Watched] = []
    write_header = OpenDatabase.write_header

    def crashed(database: OpenDatabase) -> None:
        if database.header.backup_copy_previous.high and not images:
            images.append(env.image(Crash.ALL_LOST, 0))
        write_header(database)

    monkeypatch.setattr(OpenDatabase, "write_header", crashed)
    made = back_up(shop.instance, "/copy", Kind.COPY)
    (image,) = images
    with DatabaseFile.open(image, PATH) as file:
        assert file.header.backup_copy_previous == BackupInfo()
    with Instance.open(image, shop.settings) as instance:
        assert instance.attach_database(PATH).header.backup_copy_previous == made.info
    shop.instance.close()


@pytest.mark.parametrize("after", [0, 1, 4, 9, 15])
def test_a_full_disk_at_the_target(after: int) -> None:
    env = FaultEnv()
    shop = Shop(env)
    shop.work(20)
    shop.instance.checkpointer.advance()
    shop.instance.context.log.flush()
    here = shop.archives()

    original = env.step

    def step(kind: str, path: str) -> None:
        original(kind, path)
        if path.startswith("/full") and kind in ("write", "create", "mkdir"):
            counts[0] -= 1
            if counts[0] < 0:
                raise DiskFull("No space left on device", file=path)

    counts = [after]
    env.step = step  # type: ignore[method-assign]
    with pytest.raises(DiskFull):
        back_up(shop.instance, "/full")
    assert not [name for name in env.listdir("/") if name.startswith("full")]
    assert shop.archives()[: len(here)] == here
    assert shop.header().backup_full_previous == BackupInfo()
    shop.work(5)
    counts[0] = 1 << 30
    made = back_up(shop.instance, "/full")
    assert made.truncated[0] == here[0]
    assert restored(env, "/full") == shop.rows[PATH]
    shop.instance.close()


def test_a_device_that_fails_stops_instance_and_backup() -> None:
    env = FaultEnv()
    shop = Shop(env)
    shop.work(20)
    env.break_device(len(env.changes) + 30)
    with pytest.raises(HotsplitError):
        back_up(shop.instance, "/full")
    shop.instance.close()
    healthy = FaultEnv()
    healthy.root = env.root
    with Instance.open(healthy, shop.settings) as instance:
        database = instance.attach_database(PATH)
        assert database.header.backup_full_previous == BackupInfo()
