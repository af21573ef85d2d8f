"""Folders that were copied, originals still there: the copy is opened, the original left alone."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from hotsplit.errors import DatabaseMismatch, Jet
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.opening.inplace import recover_in_place
from hotsplit.ese.engine.settings import Settings
from tests.ese.engine.judge import check_rules
from tests.ese.engine.test_paths import LOG_SIZE, fill, numbers
from tests.faultenv import FaultEnv, Killed
from tests.memoryenv import Crash, MemoryEnv

ORIGINAL = Settings("/sg", log_size=LOG_SIZE)
COPY = Settings("/copy", log_size=LOG_SIZE)
JOURNAL = "/sg/E00.hotsplit-journal"


def crashed(path: str = "/sg/a.edb", rows: int = 50, *, clean: bool = False) -> MemoryEnv:
    env = MemoryEnv()
    for folder in ("/sg", "/data", "/copy"):
        env.mkdir(folder)
        env.sync_dir("/")
    instance = Instance.open(env, ORIGINAL)
    fill(instance, path, rows)
    if clean:
        instance.close()
    else:
        instance.context.cache.flush(1)
    return env.crashed(Crash.ALL_KEPT)


def copy(env: MemoryEnv, *folders: str, to: str = "/copy") -> None:
    for folder in folders:
        for path, data in list(env.files(folder).items()):
            env.put(f"{to}/{path.rpartition('/')[2]}", data)


def originals(env: MemoryEnv) -> dict[str, bytes]:
    return {**env.files("/sg"), **env.files("/data")}


@pytest.mark.parametrize("path", ["/sg/a.edb", "/data/a.edb"])
def test_the_copy_is_recovered_and_not_the_original(path: str) -> None:
    env = crashed(path)
    copy(env, "/sg", "/data")
    before = originals(env)
    with Instance.open(env, COPY) as instance:
        assert instance.restarted is not None
        assert instance.restarted.databases == ["/copy/a.edb"]
        assert numbers(instance, "/copy/a.edb") == list(range(50))
    assert originals(env) == before
    with Instance.open(env, ORIGINAL) as instance:
        assert numbers(instance, path) == list(range(50))


@pytest.mark.parametrize("clean", [False, True])
def test_logs_alone_do_not_lead_to_the_original(*, clean: bool) -> None:
    env = crashed("/data/a.edb", clean=clean)
    copy(env, "/sg")
    if clean:
        env.remove("/copy/E00.chk")
    before = env.files()
    with pytest.raises(DatabaseMismatch) as error:
        Instance.open(env, COPY)
    assert error.value.jet == Jet.errAttachedDatabaseMismatch
    assert "/data/a.edb" in error.value.message
    assert env.files() == before
    moved = dataclasses.replace(COPY, follow_paths=True)
    with Instance.open(env, moved) as instance:
        assert numbers(instance, "/data/a.edb") == list(range(50))


def test_a_database_that_only_the_logs_have_is_made_beside_them() -> None:
    env = crashed()
    copy(env, "/sg")
    for path in ("/sg/a.edb", "/copy/a.edb"):
        env.remove(path)
    before = originals(env)
    with Instance.open(env, COPY) as instance:
        assert numbers(instance, "/copy/a.edb") == list(range(50))
    assert originals(env) == before


def test_what_was_attached_since_the_folder_was_copied_is_found_where_it_is() -> None:
    env = crashed(clean=True)
    copy(env, "/sg")
    instance = Instance.open(env, COPY)
    assert numbers(instance, "/copy/a.edb") == list(range(50))
    fill(instance, "/data/b.edb", 20)
    env = env.crashed(Crash.ALL_KEPT)
    before = env.files("/sg")
    with Instance.open(env, COPY) as instance:
        assert instance.restarted is not None
        assert sorted(instance.restarted.databases) == ["/copy/a.edb", "/data/b.edb"]
        assert numbers(instance, "/data/b.edb") == list(range(20))
    assert env.files("/sg") == before


def test_pages_on_their_way_go_to_the_copy() -> None:
    """The original has gone on since; the copy has a page of the last batch torn."""
    env = crashed()
    copy(env, "/sg")
    with Instance.open(env, ORIGINAL) as instance:
        numbers(instance, "/sg/a.edb")
    before = env.files("/sg")
    data = bytearray(env.get("/copy/a.edb"))
    torn = next(n for n in range(5 * 8192, len(data), 8192) if any(data[n : n + 8192]))
    data[torn + 512 : torn + 8192] = bytes(8192 - 512)
    env.put("/copy/a.edb", bytes(data))
    with Instance.open(env, COPY) as instance:
        assert numbers(instance, "/copy/a.edb") == list(range(50))
    check_rules(env, "/copy/a.edb")
    assert env.files("/sg") == before


@pytest.mark.parametrize("apart", [False, True])
def test_a_recovery_that_was_interrupted_goes_on_in_the_copy(*, apart: bool) -> None:
    """Complete journal, nothing written yet: it must not go to the original, which has gone on."""
    path = "/data/a.edb" if apart else "/sg/a.edb"
    for at in itertools.count(1):
        env = FaultEnv.over(crashed(path))
        env.kill_at = at
        with pytest.raises(Killed):
            recover_in_place(env, [path], ["/sg"])
        if env.exists(JOURNAL) and env.get(JOURNAL)[-12:-4] == b"COMPLETE":
            break
    env.kill_at = None
    copy(env, "/sg")
    with Instance.open(env, ORIGINAL) as instance:
        numbers(instance, path)
        fill(instance, "/data/b.edb", 5)
    before = originals(env)
    if apart:
        with pytest.raises(DatabaseMismatch):
            Instance.open(env, COPY)
    else:
        with Instance.open(env, COPY) as instance:
            assert numbers(instance, "/copy/a.edb") == list(range(50))
    assert originals(env) == before
