"""Databases whose creation is broken off, by a crash or by an error: nothing is left of them.

And nothing else is ever taken for such a rest.
"""

from __future__ import annotations

import contextlib
import random

import pytest

from hotsplit.errors import (
    AccessDenied,
    DatabaseMismatch,
    DiskFull,
    FileMissing,
    HotsplitError,
    InstanceDown,
)
from hotsplit.ese.check import integrity
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.opening.inplace import recover_in_place
from hotsplit.ese.engine.schema.catalog import CatalogWriter
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Lock, in_use
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.format.header import DbState
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.recover import recover
from hotsplit.ese.recovery.store import UNNAMED
from hotsplit.report import Reporter, Severity
from tests.ese.engine.crashes import COLUMNS, FOLDER, INDEXES, Watched
from tests.faultenv import FaultEnv
from tests.memoryenv import Crash, MemoryEnv, Origin

OLD, NEW = f"{FOLDER}/old.edb", f"{FOLDER}/new.edb"
SETTINGS = Settings(FOLDER, log_size=64 << 10, checkpoint_depth=64 << 10)


def begun(env: MemoryEnv) -> tuple[Instance, Table]:
    """An instance with a database that has rows, all but the last durable in the file."""
    env.mkdir(FOLDER)
    env.sync_dir("/")
    instance = Instance.open(env, SETTINGS)
    table = instance.session().create_table(instance.create_database(OLD), "T", COLUMNS, INDEXES)
    for number in range(3):
        table.insert({"Id": number, "Name": f"n{number}"})
    return instance, table


def check(env: MemoryEnv, path: str) -> None:
    reporter = Reporter()
    integrity.check_database(env, path, reporter)
    assert not [f for f in reporter.findings if f.severity != Severity.NOTE]


def look(env: MemoryEnv) -> bool:
    """Open what a crash left; tell whether the new database is there. It can be made if not."""
    with Instance.open(env, SETTINGS) as instance, instance.session() as session:
        assert sum(1 for _ in session.open_table(instance.attach_database(OLD), "T").rows()) == 3
        there = env.exists(NEW)
        assert not env.exists(NEW + UNNAMED)
        database = instance.attach_database(NEW) if there else instance.create_database(NEW)
        table = session.create_table(database, "T", COLUMNS, INDEXES)
        table.insert({"Id": 1})
    for path in (OLD, NEW):
        check(env, path)
    return there


@pytest.mark.parametrize("crash", list(Crash))
def test_a_crash_at_every_change_of_a_file(crash: Crash) -> None:
    env = Watched()
    instance, _ = begun(env)
    images: dict[frozenset[tuple[str, Origin]], MemoryEnv] = {}  # one of those that are equal
    chance = random.Random(crash.value)

    def moment(kind: str, path: str) -> None:
        image = env.image(crash, chance.randrange(1 << 30))
        images[image.origins()] = image

    env.moment = moment
    instance.create_database(NEW)
    found = [look(images.pop(next(iter(images)))) for _ in range(len(images))]  # frees each
    assert not found[0]
    assert found[-1]


@pytest.mark.parametrize("crash", [Crash.ALL_KEPT, Crash.TORN])
def test_recoveries_that_are_interrupted(crash: Crash) -> None:
    env = unfinished()
    images: list[MemoryEnv] = []
    chance = random.Random(crash.value)

    def moment(kind: str, path: str) -> None:
        if chance.random() < 0.2 or path == NEW:
            images.append(env.image(crash, chance.randrange(1 << 30)))

    env.moment = moment
    Instance.open(env, SETTINGS).close()
    assert len(images) > 10
    assert not any(look(images.pop()) for _ in range(len(images)))


def unfinished() -> Watched:
    """A crash in the middle of a creation: the file has a header and empty pages."""
    env = Watched()
    instance, _ = begun(env)
    images: list[Watched] = []

    def moment(kind: str, path: str) -> None:
        if not images and env.exists(NEW) and len(env.get(NEW)) > 100_000:
            images.append(env.image(Crash.ALL_KEPT, 0))

    env.moment = moment
    instance.create_database(NEW)
    (image,) = images
    with DatabaseFile.open(image, NEW) as file:
        assert file.header.state == DbState.JUST_CREATED
    return image


def test_opening_says_what_it_removed() -> None:
    with Instance.open(unfinished(), SETTINGS) as instance:
        assert instance.restarted is not None
        assert instance.restarted.removed == [NEW]
        assert instance.restarted.databases == [OLD]


def test_recovery_of_copies_leaves_it_out() -> None:
    env = unfinished()
    done = recover(env, [FOLDER], [], "/copy")
    assert [path for path, _, _ in done.databases] == ["/copy/old.edb"]
    assert env.listdir("/copy") == ["old.edb"]
    assert [w.file for w in done.warnings if w.rule == "database-unfinished"]
    with pytest.raises(HotsplitError) as error:
        recover(env, [NEW], [], "/alone")
    assert "broken off" in error.value.message
    assert not env.exists("/alone")


def test_recovery_in_place_removes_it() -> None:
    for env in unfinished(), unnamed():
        done = recover_in_place(env, [FOLDER], [FOLDER])
        assert [path for path, _, _ in done.databases] == [OLD]
        assert [w.rule for w in done.warnings] == ["database-unfinished"]
        assert not [name for name in env.listdir(FOLDER) if name.startswith("new")]
        with Instance.open(env, SETTINGS) as instance:
            instance.create_database(NEW)


def unnamed() -> Watched:
    """A crash before the file had its name."""
    env = Watched()
    instance, _ = begun(env)
    images: list[Watched] = []

    def moment(kind: str, path: str) -> None:
        if not images and env.exists(NEW + UNNAMED) and env.get(NEW + UNNAMED):
            images.append(env.image(Crash.ALL_KEPT, 0))

    env.moment = moment
    instance.create_database(NEW)
    return images[0]


class Unlockable(MemoryEnv):
    """Files of some folder cannot be locked."""

    def lock(self, path: str) -> Lock:
        if path == NEW:
            raise in_use(path)
        return super().lock(path)


def test_a_database_that_cannot_be_locked() -> None:
    env = Unlockable()
    instance, table = begun(env)
    with pytest.raises(AccessDenied):
        instance.create_database(NEW)
    assert not [name for name in env.listdir(FOLDER) if name.startswith("new")]
    table.insert({"Id": 3})
    instance.create_database(f"{FOLDER}/other.edb")
    instance.close()
    check(env, f"{FOLDER}/other.edb")


@pytest.mark.parametrize("step", ["create", "create_others"])
def test_an_interrupt_in_a_creation_is_a_crash(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env = MemoryEnv()
    instance, table = begun(env)
    whole = getattr(CatalogWriter, step)

    def interrupted(catalog: CatalogWriter, *arguments: object) -> None:
        if catalog._database.path == NEW:
            whole(catalog, *arguments)
            raise KeyboardInterrupt
        whole(catalog, *arguments)

    monkeypatch.setattr(CatalogWriter, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        instance.create_database(NEW)
    with pytest.raises(InstanceDown):
        table.insert({"Id": 3})
    instance.close()
    monkeypatch.undo()
    assert look(env) == (step == "create_others")


def foreign() -> bytes:
    """A sound database of another stream."""
    env = MemoryEnv()
    instance, _ = begun(env)
    env._drawn = 1000
    instance.create_database(NEW)
    instance.close()
    return env.get(NEW)


@pytest.mark.parametrize("content", [b"notes", bytes(9000) + b"x", b"notes" * 9000, foreign()])
def test_what_somebody_else_put_in_its_place_stays(content: bytes) -> None:
    env = unfinished()
    env.remove(NEW)
    env.put(NEW, content)
    with contextlib.suppress(HotsplitError):
        Instance.open(env, SETTINGS).close()
    assert env.get(NEW) == content


def test_a_database_in_the_place_of_another_one() -> None:
    env = MemoryEnv()
    instance, _ = begun(env)
    first = instance.create_database(NEW)
    instance.detach_database(first)
    env.remove(NEW)
    with instance.session() as session:
        table = session.create_table(instance.create_database(NEW), "Second", COLUMNS, INDEXES)
        table.insert({"Id": 7})
    env = env.crashed(Crash.ALL_KEPT)
    with Instance.open(env, SETTINGS) as again, again.session() as session:
        found = session.open_table(again.attach_database(NEW), "Second").get(7)
        assert found is not None
    check(env, NEW)


def test_a_database_that_is_taken_away_while_it_is_recovered_is_not_made_anew() -> None:
    env = Watched()
    instance, _ = begun(env)
    instance.create_database(NEW)
    env = env.image(Crash.ALL_LOST, 0)
    images: list[Watched] = []
    journal = f"{FOLDER}/E00.hotsplit-journal"

    def moment(kind: str, path: str) -> None:
        if path == OLD and env.exists(journal) and env.get(journal):
            images.append(env.image(Crash.ALL_KEPT, 0))

    env.moment = moment
    Instance.open(env, SETTINGS).close()
    assert len(images) > 4
    for image in images:
        image.rename(OLD, "/elsewhere.edb")
        with pytest.raises(FileMissing) as error:
            Instance.open(image, SETTINGS)
        assert error.value.file == OLD
        assert not image.exists(OLD)
        image.rename("/elsewhere.edb", OLD)
        with Instance.open(image, SETTINGS) as again, again.session() as session:
            table = session.open_table(again.attach_database(OLD), "T")
            assert sum(1 for _ in table.rows()) == 3
        check(image, OLD)


def test_no_room_for_a_database() -> None:
    env = FaultEnv()
    instance, table = begun(env)
    limit = env._largest
    env._largest = 1 << 20
    with pytest.raises(DiskFull):
        instance.create_database(NEW)
    assert not [name for name in env.listdir(FOLDER) if name.startswith("new")]
    table.insert({"Id": 3})
    env._largest = limit
    with instance.session() as session:
        session.create_table(instance.create_database(NEW), "T", COLUMNS, INDEXES)
    env = env.crashed(Crash.ALL_LOST)  # type: ignore[assignment]
    with Instance.open(env, SETTINGS) as again, again.session() as session:
        assert session.open_table(again.attach_database(OLD), "T").get(3) is not None
        assert again.attach_database(NEW).table_names() == ["T"]
    with Database.open(env, NEW) as database:
        assert "T" in database.tables()


def test_what_had_no_room_is_not_there_again_after_a_crash() -> None:
    env = FaultEnv()
    instance, _ = begun(env)
    env.mkdir("/data")
    env.sync_dir("/")
    env._largest = 1 << 20
    with pytest.raises(DiskFull):
        instance.create_database("/data/new.edb")
    # The logs that speak of it may be gone by then.
    assert env.crashed(Crash.ALL_LOST).listdir("/data") == []
    instance.close()


def test_nor_when_another_one_was_attached_with_its_number() -> None:
    env, third = FaultEnv(), f"{FOLDER}/third.edb"
    instance, _ = begun(env)
    database = instance.create_database(third)
    instance.session().create_table(database, "T", COLUMNS, INDEXES).insert({"Id": 7})
    instance.detach_database(database)
    env.quota = env.used() + (64 << 10)
    with pytest.raises(DiskFull):
        instance.create_database(NEW)
    env.quota = None
    assert instance.attach_database(third).dbid == database.dbid

    beside = env.crashed(Crash.ALL_KEPT)
    made = recover(beside, [FOLDER], [], "/recovered").databases
    assert [path for path, _, _ in made] == ["/recovered/old.edb", "/recovered/third.edb"]
    after = env.crashed(Crash.ALL_KEPT)
    assert not look(after)
    with Instance.open(after, SETTINGS) as again, again.session() as session:
        assert session.open_table(again.attach_database(third), "T").get(7) is not None


def test_a_database_that_lies_where_a_creation_failed_hinders_nobody() -> None:
    """No program has seen the one that was to be made there."""
    env, content = FaultEnv(), foreign()
    instance, table = begun(env)
    env.quota = env.used() + (64 << 10)
    with pytest.raises(DiskFull):
        instance.create_database(NEW)
    env.quota = None
    table.insert({"Id": 3})
    env.put(NEW, content)
    after = env.crashed(Crash.ALL_KEPT)
    with Instance.open(after, SETTINGS) as again, again.session() as session:
        assert session.open_table(again.attach_database(OLD), "T").get(3) is not None
    assert after.get(NEW) == content


def test_a_database_whose_folder_is_gone_is_not_made_anew() -> None:
    """Nothing changes: its disk may come back; the others are recovered if it is left out."""
    env, away = FaultEnv(), "/data/new.edb"
    instance, _ = begun(env)
    env.mkdir("/data")
    with instance.session() as session:
        table = session.create_table(instance.create_database(away), "T", COLUMNS, INDEXES)
        table.insert({"Id": 7})
    env = FaultEnv.over(env.crashed(Crash.ALL_KEPT))
    data = env.get(away)
    env.remove_tree("/data")
    before = env.files()
    with pytest.raises(DatabaseMismatch) as error:
        Instance.open(env, SETTINGS)
    assert error.value.file == away
    assert env.files() == before
    without = env.crashed(Crash.ALL_KEPT)
    recover_in_place(without, [FOLDER], [], Options(ignore_missing=True))
    check(without, OLD)
    env.put(away, data)
    with Instance.open(env, SETTINGS) as again, again.session() as session:
        assert session.open_table(again.attach_database(away), "T").get(7) is not None
        assert again.attach_database(OLD).table_names() == ["T"]


def test_a_log_that_begins_in_a_creation_knows_the_database() -> None:
    env = Watched()
    instance, table = begun(env)
    rolled = 0
    for number in range(3, 24):
        table.insert({"Id": number, "Name": f"n{number}", "Body": bytes(number * 300)})
        database = instance.create_database(NEW)
        made_in = database.header.attach.generation
        for path in sorted(env.files()):
            if not path.endswith(".log"):
                continue
            with LogFile.open(env, path) as log:
                if log.header.generation > made_in:
                    rolled += 1
                    assert NEW in [entry.path for entry in log.header.attachments]
        instance.detach_database(database)
        env.remove(NEW)
    assert rolled


def test_a_crash_after_a_creation_in_which_a_log_began() -> None:
    env = Watched()
    instance, table = begun(env)
    rolled = 0
    for number in range(3, 24):
        table.insert({"Id": number, "Name": f"n{number}", "Body": bytes(number * 300)})
        database = instance.create_database(NEW)
        if instance.context.log.generation > database.header.attach.generation:
            rolled += 1
            image = env.image(Crash.ALL_LOST, 0)
            with Instance.open(image, SETTINGS) as again:
                again.attach_database(NEW)
            check(image, NEW)
        instance.detach_database(database)
        env.remove(NEW)
    assert rolled


def test_of_two_databases_made_in_one_place_the_later_is_left() -> None:
    env = Watched()
    instance, _ = begun(env)
    for number in range(2):
        database = instance.create_database(NEW)
        with instance.session() as session:
            session.create_table(database, "T", COLUMNS, INDEXES).insert({"Id": number})
        if not number:
            instance.detach_database(database)
            env.remove(NEW)
    env = env.image(Crash.ALL_KEPT, 0)
    assert_only_the_later(env)
    for path in (OLD, NEW, f"{FOLDER}/E00.chk"):  # the logs are all there: they make them again
        env.remove(path)
    assert_only_the_later(env)


def assert_only_the_later(env: MemoryEnv) -> None:
    done = recover(env, [FOLDER], [], "/copy")
    assert sorted(path for path, _, _ in done.databases) == ["/copy/new.edb", "/copy/old.edb"]
    assert sorted(env.listdir("/copy")) == ["new.edb", "old.edb"]
    with Database.open(env, "/copy/new.edb") as copy:
        assert [row["Id"] for row in copy.table("T").rows()] == [1]
    env.remove_tree("/copy")
