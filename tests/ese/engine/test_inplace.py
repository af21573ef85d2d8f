"""Recovery in place: the engine's rows, a closed stream, and a second run after any crash."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from hotsplit.errors import AccessDenied, HotsplitError, InvalidUse
from hotsplit.ese.engine.opening.inplace import recover_in_place
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.files.logsequence import LogSequence
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.format.checksum import stamp
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.recover import recover
from tests.conftest import manifest, set_names, unpack_vector
from tests.ese.engine.crashes import FOLDER, PATH
from tests.ese.engine.test_failures import databases_after, fill, opened
from tests.expected import compare_rows
from tests.faultenv import FaultEnv, Killed
from tests.memoryenv import Crash, MemoryEnv

ALL = os.environ.get("FAULTS") == "all"
POINTS = 10_000 if ALL else 6
HOME = "/mail"
CAMPAIGN = ["crash-p4096-mid", "crash-p4096-base", "crash-p8192-ddl"]


def fresh(name: str, part: str = "crash") -> FaultEnv:
    if name not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    env = FaultEnv()
    env.put_folder(HOME, unpack_vector(name) / part)
    env.sync_dir("/")
    env.changes.clear()
    return env


def differences(env: MemoryEnv, expected: Path, database: str = "test.edb") -> list[str]:
    with Database.open(env, f"{HOME}/{database}") as db:
        assert not db.is_dirty
        return compare_rows(db, json.loads(expected.read_text()))


def assert_closed(env: MemoryEnv) -> None:
    """The stream ends as after a clean shutdown, and the checkpoint says so."""
    sequence = LogSequence.find(env, [HOME])
    assert sequence.current is not None
    with LogFile.open(env, sequence.current.path) as log:
        assert log.closed_normally
    checkpoint = sequence.read_checkpoint(env)
    assert checkpoint is not None
    assert checkpoint.checkpoint.position.generation == sequence.current.generation


@pytest.mark.parametrize("name", set_names("crash"))
def test_crash_sets_recover_where_they_lie(name: str) -> None:
    env = fresh(name)
    if not LogSequence.find(env, [HOME]).current:
        pytest.skip("the set has no current log")
    recover_in_place(env, [HOME], [])
    assert differences(env, unpack_vector(name) / "expected.json") == []
    assert_closed(env)


def test_several_databases_of_one_stream() -> None:
    name = "multidb-p4096"
    env = fresh(name)
    result = recover_in_place(env, [HOME], [])
    assert len(result.databases) == 3
    for path, _, _ in result.databases:
        expected = unpack_vector(name) / "expected" / f"{Path(path).stem}.json"
        assert differences(env, expected, Path(path).name) == []


def test_a_second_run_changes_nothing() -> None:
    env = fresh("crash-p4096-mid")
    recover_in_place(env, [HOME], [])
    before = env.files(HOME)
    recover_in_place(env, [HOME], [])
    assert env.files(HOME) == before


@lru_cache
def number_of_changes(name: str) -> int:
    env = fresh(name)
    recover_in_place(env, [HOME], [])
    return len(env.changes)


@pytest.mark.parametrize("crash", list(Crash))
@pytest.mark.parametrize("name", CAMPAIGN)
def test_killed_anywhere_a_second_run_succeeds(name: str, crash: Crash) -> None:
    total = number_of_changes(name)
    chance = random.Random(f"{name}{crash}")
    points = range(1, total + 1)
    for point in points if total <= POINTS else sorted(chance.sample(points, POINTS)):
        env = fresh(name)
        env.kill_at = point
        with pytest.raises(Killed):
            recover_in_place(env, [HOME], [])
        after = env.crashed(crash, seed=point)
        recover_in_place(after, [HOME], [])
        assert differences(after, unpack_vector(name) / "expected.json") == [], point
        assert_closed(after)


def test_what_would_leave_logs_and_databases_at_odds_is_refused() -> None:
    refused: list[dict[str, Any]] = [
        {"until": LogPosition(5, 0, 0)},
        {"accept_lost_logs": True},
        {"undo": False},
        {"hard": True},
        {"cut_torn_tail": True},
    ]
    for options in refused:
        env = fresh("crash-p4096-mid")
        before = env.files(HOME)
        with pytest.raises(InvalidUse):
            recover_in_place(env, [HOME], [], Options(**options))
        assert env.files(HOME) == before


def test_a_read_only_database_is_refused_before_anything_changes() -> None:
    env = fresh("crash-p4096-mid")
    env.deny(f"{HOME}/test.edb")
    before = env.files(HOME)
    with pytest.raises(HotsplitError) as caught:
        recover_in_place(env, [HOME], [])
    assert isinstance(caught.value, AccessDenied)
    assert env.files(HOME) == before


def test_what_another_program_is_recovering_is_left_to_it() -> None:
    """Its journal is complete: to carry it out again would undo what that program does later."""
    env = fresh("crash-p4096-mid")
    whole = fresh("crash-p4096-mid")
    recover_in_place(whole, [HOME], [])
    journal = f"{HOME}/E00.hotsplit-journal"
    *_, complete = (n for n, change in enumerate(whole.changes, 1) if change == ("sync", journal))
    env.kill_at = complete + 1
    with pytest.raises(Killed):
        recover_in_place(env, [HOME], [])
    env.kill_at = None
    before = env.files(HOME)
    env.lock(HOME)
    with pytest.raises(AccessDenied):
        recover_in_place(env, [HOME], [])
    assert env.files(HOME) == before


class Late(FaultEnv):
    """`arrive` is called once, as a lock is asked for."""

    arrive: Callable[[], None] | None = None

    def step(self, kind: str, path: str) -> None:
        super().step(kind, path)
        if kind == "lock" and self.arrive is not None:
            arrive, self.arrive = self.arrive, None
            arrive()


@pytest.mark.parametrize("close", [False, True])
def test_what_an_instance_did_before_it_ended_is_seen(*, close: bool) -> None:
    """It was at work when the files were first looked at, and ends before it can be shut out."""
    env = Late()
    env.sync_dir("/")
    instance, table = opened(env)
    fill(table, 0)

    def arrive() -> None:
        for number in range(20, 400, 20):
            fill(table, number)
        if close:
            instance.close()
        else:  # killed
            instance._release()

    env.arrive = arrive
    recover_in_place(env, [FOLDER], [])
    databases_after(env, {PATH: 400})


def test_it_is_the_same_on_a_real_disk(tmp_path: Path) -> None:
    name = "crash-p4096-mid"
    memory = fresh(name)
    for path, data in memory.files(HOME).items():
        target = tmp_path / path.rpartition("/")[2]
        target.write_bytes(data)
    result = recover_in_place(OsEnv(), [str(tmp_path)], [])
    with Database.open(OsEnv(), result.databases[0][0]) as db:
        expected = json.loads((unpack_vector(name) / "expected.json").read_text())
        assert compare_rows(db, expected) == []


def test_part_of_a_page_at_the_end_is_no_page() -> None:
    """Even if it would be one with zeros behind it: there and beside, growth begins with zeros."""
    env = fresh("crash-p8192-ddl")
    path = f"{HOME}/test.edb"
    page = bytearray(env.files(HOME)[path][31 * 8192 : 31 * 8192 + 3041].ljust(8192, b"\0"))
    stamp(page, 30)
    cut = env.files(HOME)[path][: 31 * 8192] + page[:3041]
    env.put(path, cut)
    recover(env, [HOME], [], "/beside")
    recover_in_place(env, [HOME], [])
    here, there = env.files(HOME)[path], env.files("/beside")["/beside/test.edb"]
    assert here[2 * 8192 :] == there[2 * 8192 :]
