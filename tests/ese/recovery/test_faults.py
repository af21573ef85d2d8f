"""The fault campaign: recovery killed at every change of a file, then run again; bad disks.

Killed anywhere, and whatever of the work that was not yet durable survived: the source is as it
was, the result is complete or not there, and a second run gives the same bytes as an undisturbed
one. By default a part of all points is tried; FAULTS=all tries every one (`make campaign`).
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import pytest

from hotsplit import _native
from hotsplit.errors import (
    AccessDenied,
    DiskFull,
    HotsplitError,
    IoFailed,
    TargetExists,
)
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.recover import recover
from tests.conftest import manifest, unpack_vector
from tests.expected import compare_rows
from tests.faultenv import FaultEnv, Killed
from tests.memoryenv import Crash, MemoryEnv

ALL = os.environ.get("FAULTS") == "all"
SLOW = _native.running() == "python"
POINTS = 10_000 if ALL else 2 if SLOW else 10
"""How many points of each kind are tried of each set."""

SOURCE, INTO = "/source", "/out/result"


@dataclass(frozen=True)
class Set:
    """A vector set: where its files are, which dump has its rows, and its databases."""

    name: str
    folder: str
    rows: str
    databases: tuple[str, ...] = ("test.edb",)

    def __str__(self) -> str:
        return f"{self.name}/{self.folder}"


SETS = [
    Set("crash-p4096-base", "crash", "expected.json"),
    Set("crash-p4096-mid", "crash", "expected.json"),
    Set("crash-p8192-ddl", "crash", "expected.json"),
    Set("hotsplit-p4096", "snap1", "snap1.json"),
    Set("crash-p8192-lazy", "recovered", "expected.json"),  # clean already: nothing to replay
]
if SLOW:
    SETS = SETS[3:]
if ALL:
    SETS += [
        Set("crash-p16384-mid", "crash", "expected.json"),
        Set("crash-p32768-ddl", "crash", "expected.json"),
        Set("hotsplit-p8192-ckpt", "snap2", "snap2.json"),
        Set("hotsplit-p16384-circ", "snap1", "snap1.json"),
    ]


@pytest.fixture(params=SETS, ids=str)
def files(request: pytest.FixtureRequest) -> Set:
    one: Set = request.param
    if one.name not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    return one


def fresh(files: Set) -> FaultEnv:
    """Return an environment with the source and an empty folder for the result, all durable."""
    env = FaultEnv()
    env.put_folder(SOURCE, unpack_vector(files.name) / files.folder)
    env.mkdir("/out")
    env.sync_dir("/")
    env.changes.clear()
    env.reads.clear()
    return env


def run(env: MemoryEnv, files: Set) -> None:
    recover(env, [f"{SOURCE}/{name}" for name in files.databases], [SOURCE], INTO)


@dataclass
class Undisturbed:
    """A run without faults. changes: what it did to files; reads: how often it read each."""

    changes: list[tuple[str, str]]
    reads: dict[str, int]
    source: dict[str, bytes]
    result: dict[str, bytes]


@lru_cache
def undisturbed(files: Set) -> Undisturbed:
    env = fresh(files)
    source = env.files(SOURCE)
    run(env, files)
    return Undisturbed(env.changes, env.reads, source, env.files(INTO))


def points(files: Set, label: str) -> Iterator[int]:
    """Yield numbers of changes: all that are no plain writes, and some of the others."""
    changes = undisturbed(files).changes
    rare = [n for n, (kind, _) in enumerate(changes, 1) if kind not in ("write", "copy")]
    usual = sorted(set(range(1, len(changes) + 2)) - set(rare))
    chance = random.Random(f"{files}{label}")
    for kind in rare, usual:
        if not ALL:
            kind[:] = chance.sample(kind, min(POINTS // 2, len(kind)))
    yield from sorted(rare + usual)


def assert_absent_or_complete(env: MemoryEnv, files: Set) -> None:
    want = undisturbed(files)
    assert env.files(SOURCE) == want.source
    if env.exists(INTO):
        assert env.files(INTO) == want.result


def test_undisturbed_it_gives_the_engines_rows(files: Set) -> None:
    env = fresh(files)
    run(env, files)
    expected = json.loads((unpack_vector(files.name) / files.rows).read_text())
    with Database.open(env, f"{INTO}/{files.databases[0]}") as db:
        assert not db.is_dirty
        assert compare_rows(db, expected) == []
    assert {path for _, path in env.changes if path.startswith(SOURCE)} == set()
    assert set(env.files("/out")) == set(undisturbed(files).result)


def test_two_runs_give_the_same_bytes(files: Set) -> None:
    env = fresh(files)
    run(env, files)
    assert env.files(INTO) == undisturbed(files).result


def test_when_it_says_that_it_is_done_the_result_is_durable(files: Set) -> None:
    env = fresh(files)
    run(env, files)
    for crash in Crash:
        assert env.crashed(crash, 1).files(INTO) == undisturbed(files).result


def test_killed_anywhere_and_run_again(files: Set) -> None:
    for number in points(files, "kill"):
        env = fresh(files)
        env.kill_at = number
        if number <= len(undisturbed(files).changes):
            with pytest.raises(Killed):
                run(env, files)
        else:
            run(env, files)
        for crash in Crash:
            after = FaultEnv.over(env.crashed(crash, number))
            assert_absent_or_complete(after, files)
            if after.exists(INTO):
                with pytest.raises(TargetExists):
                    run(after, files)
            else:
                run(after, files)
            assert after.files(INTO) == undisturbed(files).result, (number, crash)
            assert set(after.files("/out")) == set(after.files(INTO)), (number, crash)


def test_killed_twice(files: Set) -> None:
    """The second run, which finds the remains of the first, is killed too."""
    chance = random.Random(str(files))
    for number in list(points(files, "twice"))[:: 1 if ALL else 3]:
        env = fresh(files)
        env.kill_at = number
        with pytest.raises(Killed):
            run(env, files) if number <= len(undisturbed(files).changes) else _die()
        second = FaultEnv.over(env.crashed(Crash.SOME_KEPT, number))
        if second.exists(INTO):
            continue
        second.kill_at = chance.randint(1, len(undisturbed(files).changes))
        with pytest.raises(Killed):
            run(second, files)
        third = FaultEnv.over(second.crashed(Crash.TORN, number))
        assert_absent_or_complete(third, files)
        run(third, files)
        assert third.files(INTO) == undisturbed(files).result


def _die() -> None:
    raise Killed


def test_a_full_disk_leaves_nothing(files: Set) -> None:
    for number in points(files, "full"):
        env = fresh(files)
        env.fill_disk(number)
        try:
            run(env, files)
        except HotsplitError as error:
            assert isinstance(error, DiskFull), error
            assert error.file.startswith("/out")
            assert env.files("/out") == {}
            assert env.listdir("/out") == []
        assert_absent_or_complete(env, files)


def test_a_device_that_breaks_leaves_no_result(files: Set) -> None:
    for number in points(files, "broken"):
        env = fresh(files)
        env.break_device(number)
        try:
            run(env, files)
        except HotsplitError as error:
            assert isinstance(error, IoFailed), error
        assert_absent_or_complete(env, files)


def read_points(files: Set) -> Iterator[tuple[str, int]]:
    """Yield (file of the source, number of one of its reads)."""
    reads = [
        (path, number)
        for path, count in undisturbed(files).reads.items()
        if path.startswith(SOURCE)
        for number in range(1, count + 1)
    ]
    chance = random.Random(f"{files} reads")
    yield from reads if ALL else chance.sample(reads, min(2 * POINTS, len(reads)))


def outcome(env: FaultEnv, files: Set) -> HotsplitError | None:
    """Run; assert that the source is untouched and the result right or absent."""
    source = env.files(SOURCE)
    error = None
    try:
        run(env, files)
    except HotsplitError as caught:
        error = caught
        assert env.listdir("/out") == [], "a failed run leaves something"
    else:
        assert env.files(INTO) == undisturbed(files).result
    assert env.files(SOURCE) == source
    return error


def test_a_read_error_is_named_or_made_up_for(files: Set) -> None:
    for path, number in read_points(files):
        env = fresh(files)
        env.break_reads(path, number)
        error = outcome(env, files)
        if error is not None:
            assert isinstance(error, IoFailed), (path, number, error)
            assert error.file == path


def test_a_file_that_may_not_be_read_is_named_or_made_up_for(files: Set) -> None:
    for path in undisturbed(files).reads:
        if path.startswith(SOURCE):
            env = fresh(files)
            env.deny(path)
            error = outcome(env, files)
            if error is not None:
                assert isinstance(error, AccessDenied), (path, error)
                assert error.file == path


def test_a_wrong_bit_is_corrected_or_refused(files: Set) -> None:
    """One wrong bit on the way from the disk never gives another result."""
    chance = random.Random(f"{files} bits")
    paths = [path for path in undisturbed(files).reads if path.startswith(SOURCE)]
    for _ in range(400 if ALL else 2 * POINTS):
        path = chance.choice(paths)
        env = fresh(files)
        size = len(undisturbed(files).source[path])
        at = chance.randrange(chance.choice((min(size, 8192), size)))
        env.flip(path, 8 * at + chance.randrange(8))
        outcome(env, files)


@pytest.mark.parametrize("change", ["cut", "emptied", "grown", "zeroed"])
def test_a_source_that_changes_meanwhile_gives_no_wrong_result(files: Set, change: str) -> None:
    def apply(data: bytearray) -> None:
        if change == "grown":
            data.extend(bytes(4096))
        elif change == "zeroed":
            data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
        else:
            del data[len(data) // 2 if change == "cut" else 0 :]

    later = [(path, number) for path, number in read_points(files) if number > 1]
    for path, number in later[:: 1 if ALL else 4]:
        env = fresh(files)
        env.on_read(path, number, apply)
        try:
            run(env, files)
        except HotsplitError:
            assert env.listdir("/out") == []
        else:
            with Database.open(env, f"{INTO}/{files.databases[0]}") as db:
                rows = json.loads((unpack_vector(files.name) / files.rows).read_text())
                assert compare_rows(db, rows, indexes=False) == [], (path, number)
