"""Files put in the place of others: what lies beside is not for them, or they are not for it."""

from __future__ import annotations

import pytest

from hotsplit.errors import (
    DatabaseMismatch,
    ForeignFile,
    HotsplitError,
    Jet,
    LogDamaged,
    LogSequenceBroken,
    LogsMissing,
)
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from tests.ese.engine.crashes import COLUMNS, FOLDER, INDEXES, PATH
from tests.ese.engine.judge import check_rules
from tests.ese.engine.test_failures import fill
from tests.faultenv import FaultEnv, Killed
from tests.memoryenv import Crash, MemoryEnv

SETTINGS = Settings(FOLDER, log_size=64 << 10, checkpoint_depth=64 << 10)
JOURNAL = f"{FOLDER}/E00.hotsplit-journal"
PAGES = f"{FOLDER}/E00.hotsplit-pages"
OLD, NEW = 200, 600


def work(instance: Instance, first: int, last: int) -> None:
    (database,) = instance.databases.values()
    with instance.session() as session:
        table = session.open_table(database, "Items")
        for number in range(first, last, 20):
            fill(table, number)


def crashed() -> tuple[dict[str, bytes], MemoryEnv]:
    """Return the files of a clean end, and what a crash left after more work."""
    env = MemoryEnv()
    env.mkdir(FOLDER)
    env.sync_dir("/")
    with Instance.open(env, SETTINGS) as instance, instance.session() as session:
        session.create_table(instance.create_database(PATH), "Items", COLUMNS, INDEXES)
        work(instance, 0, OLD)
    old = env.files(FOLDER)
    instance = Instance.open(env, SETTINGS)
    instance.attach_database(PATH)
    work(instance, OLD, NEW)
    return old, env.crashed(Crash.ALL_KEPT)


def interrupted(env: MemoryEnv, *, writes: int = 0) -> MemoryEnv:
    """Return what a crash of the recovery left: its journal, and some blocks written from it."""
    whole = FaultEnv.over(env.crashed(Crash.ALL_KEPT))
    Instance.open(whole, SETTINGS)
    *_, complete = (n for n, change in enumerate(whole.changes) if change == ("sync", JOURNAL))
    later = [n for n, change in enumerate(whole.changes) if change == ("write", PATH)]
    points = [complete, *(n for n in later if n > complete)]
    again = FaultEnv.over(env.crashed(Crash.ALL_KEPT))
    again.kill_at = points[writes] + 2
    with pytest.raises(Killed):
        Instance.open(again, SETTINGS)
    return again.crashed(Crash.ALL_KEPT)


def remove_logs(env: MemoryEnv) -> None:
    env.random(1)  # the next stream is another one
    for path in env.files(FOLDER):
        if path.endswith((".log", ".chk", ".jrs", ".jfm")):
            env.remove(path)


def check_rows(env: MemoryEnv, rows: int) -> None:
    """Open the database, add some rows, open it again."""
    for count in rows, rows + 20:
        with Instance.open(env, SETTINGS) as instance:
            database = instance.attach_database(PATH)
            with instance.session() as session:
                found = [row["Id"] for row in session.open_table(database, "Items").rows()]
            assert found == list(range(count))
            work(instance, count, count + 20)
        check_rules(env, PATH)
    assert not env.exists(JOURNAL)


def test_pages_on_their_way_do_not_go_to_an_older_database() -> None:
    old, env = crashed()
    assert env.exists(PAGES)
    remove_logs(env)
    env.put(PATH, old[PATH])
    check_rows(env, OLD)


@pytest.mark.parametrize("writes", [0, 1, 9])
@pytest.mark.parametrize("with_logs", [False, True])
def test_an_interrupted_recovery_does_not_go_on_in_an_older_database(
    writes: int, *, with_logs: bool
) -> None:
    old, env = crashed()
    env = interrupted(env, writes=writes)
    remove_logs(env)
    for path, data in old.items() if with_logs else [(PATH, old[PATH])]:
        env.put(path, data)
    check_rows(env, OLD)


@pytest.mark.parametrize("writes", [0, 1, 2, 5, 9])
def test_an_interrupted_recovery_is_finished_when_its_logs_are_gone(writes: int) -> None:
    _, env = crashed()
    env = interrupted(env, writes=writes)
    remove_logs(env)
    check_rows(env, NEW)


def test_another_database_in_the_place_of_a_new_one_is_left_alone() -> None:
    """The recovery was about to make the database, which only the logs had."""
    old, _ = crashed()
    env = MemoryEnv()
    env.mkdir(FOLDER)
    env.sync_dir("/")
    instance = Instance.open(env, SETTINGS)
    instance.create_database(PATH)
    env = env.crashed(Crash.ALL_KEPT)
    env.remove(PATH)
    env = interrupted(env)
    assert not env.exists(PATH)
    remove_logs(env)
    env.put(PATH, old[PATH])
    check_rows(env, OLD)


def changed_by_opening(env: MemoryEnv, error: type[HotsplitError], jet: Jet) -> list[str]:
    """Open the instance, which raises an error; return the files that are not as before."""
    before = env.files(FOLDER)
    with pytest.raises(error) as raised:
        Instance.open(env, SETTINGS)
    assert raised.value.jet == jet
    return [path for path, data in env.files(FOLDER).items() if before.get(path) != data]


def another_stream() -> dict[str, bytes]:
    env = MemoryEnv()
    env.mkdir(FOLDER)
    env.random(1)
    with Instance.open(env, SETTINGS):
        pass
    return env.files(FOLDER)


CURRENT, CHECKPOINT = f"{FOLDER}/E00.log", f"{FOLDER}/E00.chk"


@pytest.mark.parametrize("closed", [False, True])
def test_an_older_current_log_does_not_take_the_place_of_a_newer_one(*, closed: bool) -> None:
    old, env = crashed()
    if closed:
        with Instance.open(env, SETTINGS):
            pass
    for path in (PATH, CURRENT, CHECKPOINT):
        env.put(path, old[path])
    assert not changed_by_opening(env, LogSequenceBroken, Jet.errInvalidLogSequence)


def test_nor_does_one_of_another_stream_or_one_that_is_damaged() -> None:
    _, env = crashed()
    with Instance.open(env, SETTINGS):
        pass
    closed = env.files(FOLDER)
    env.put(CURRENT, another_stream()[CURRENT])
    assert not changed_by_opening(env, ForeignFile, Jet.errBadLogSignature)
    env.put(CURRENT, b"damage" * 100 + closed[CURRENT][600:])
    assert not changed_by_opening(env, LogDamaged, Jet.errLogFileCorrupt)
    env.put(CURRENT, closed[CURRENT])
    check_rows(env, NEW)


def test_no_log_is_begun_in_the_place_of_one_that_is_missing() -> None:
    """What is committed in it would never be replayed: the database was closed later."""
    _, env = crashed()
    with Instance.open(env, SETTINGS):
        pass
    env.remove(CURRENT)
    assert not changed_by_opening(env, LogsMissing, Jet.errMissingLogFile)
    env.remove(CHECKPOINT)
    assert not changed_by_opening(env, DatabaseMismatch, Jet.errAttachedDatabaseMismatch)
    remove_logs(env)
    check_rows(env, NEW)


def test_nor_is_a_database_attached_that_was_closed_behind_the_end_of_the_logs() -> None:
    """The logs are those of an older copy, the database lies where they do not look for it."""
    old, env = crashed()
    with Instance.open(env, SETTINGS):
        pass
    env.put("/elsewhere/items.edb", env.get(PATH))
    env.remove(PATH)
    remove_logs(env)
    for path in old:
        if path.endswith((".log", ".chk")):
            env.put(path, old[path])
    with Instance.open(env, SETTINGS) as instance:
        with pytest.raises(DatabaseMismatch) as error:
            instance.attach_database("/elsewhere/items.edb")
        assert error.value.jet == Jet.errDatabaseLogSetMismatch
    remove_logs(env)
    with Instance.open(env, SETTINGS) as instance:
        assert instance.attach_database("/elsewhere/items.edb").table_names() == ["Items"]
