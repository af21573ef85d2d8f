"""The fault environment itself: what a crash leaves, and that each fault comes when told."""

from __future__ import annotations

import datetime as dt
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit.errors import (
    AccessDenied,
    DiskFull,
    FileMissing,
    HotsplitError,
    IoFailed,
    SourceChanged,
    TargetExists,
)
from hotsplit.ese.files.env import Env, OsEnv
from tests.faultenv import FaultEnv, Killed
from tests.memoryenv import SECTOR, Crash, MemoryEnv, Write

CRASHES = list(Crash)


def written(env: Env, path: str, data: bytes, *, sync: bool = False) -> None:
    file = env.open(path, "create")
    file.pwrite(data, 0)
    if sync:
        file.sync()
    file.close()


def durable(env: MemoryEnv, path: str, data: bytes) -> None:
    written(env, path, data, sync=True)
    env.sync_dir(path.rpartition("/")[0] or "/")


# What a crash leaves


def test_synced_data_under_a_synced_name_survives_every_crash() -> None:
    env = MemoryEnv()
    durable(env, "/a", b"kept")
    for crash in CRASHES:
        assert env.crashed(crash, 1).files() == {"/a": b"kept"}


def test_a_name_is_durable_only_after_its_folder_is_synced() -> None:
    env = MemoryEnv()
    written(env, "/a", b"data", sync=True)
    assert env.crashed(Crash.ALL_LOST).files() == {}
    assert env.crashed(Crash.ALL_KEPT).files() == {"/a": b"data"}
    env.sync_dir("/")
    assert env.crashed(Crash.ALL_LOST).files() == {"/a": b"data"}


def test_data_is_durable_only_after_the_file_is_synced() -> None:
    env = MemoryEnv()
    durable(env, "/a", b"old!")
    file = env.open("/a", "write")
    file.pwrite(b"new", 0)
    assert env.get("/a") == b"new!"
    assert env.crashed(Crash.ALL_LOST).files() == {"/a": b"old!"}
    file.sync()
    assert env.crashed(Crash.ALL_LOST).files() == {"/a": b"new!"}


def test_a_durable_name_can_be_that_of_an_empty_file() -> None:
    env = MemoryEnv()
    written(env, "/a", b"data")
    env.sync_dir("/")
    assert env.crashed(Crash.ALL_LOST).files() == {"/a": b""}


def test_a_rename_happens_as_a_whole() -> None:
    env = MemoryEnv()
    durable(env, "/old", b"1")
    durable(env, "/new", b"2")
    env.rename("/old", "/new")
    before, after = {"/old": b"1", "/new": b"2"}, {"/new": b"1"}
    assert env.crashed(Crash.ALL_LOST).files() == before
    assert env.crashed(Crash.ALL_KEPT).files() == after
    assert all(env.crashed(Crash.TORN, n).files() in (before, after) for n in range(20))


def test_a_renamed_folder_keeps_names_inside_that_are_not_durable_apart() -> None:
    env = MemoryEnv()
    env.mkdir("/place")
    written(env, "/place/a", b"data", sync=True)
    env.rename("/place", "/done")
    env.sync_dir("/")
    assert env.is_dir("/done")
    after = env.crashed(Crash.ALL_LOST)
    assert after.is_dir("/done")
    assert after.files() == {}
    env.sync_dir("/done")
    assert env.crashed(Crash.ALL_LOST).files() == {"/done/a": b"data"}


def test_moving_between_folders_never_leaves_a_file_twice_or_nowhere() -> None:
    env = MemoryEnv()
    for folder in ("/one", "/two"):
        env.mkdir(folder)
    env.sync_dir("/")
    written(env, "/one/a", b"x", sync=True)
    env.rename("/one/a", "/two/b")
    env.sync_dir("/two")
    for crash in CRASHES:
        assert env.crashed(crash, 3).files() == {"/two/b": b"x"}


def test_a_removed_file_can_come_back() -> None:
    env = MemoryEnv()
    durable(env, "/a", b"x")
    env.remove("/a")
    assert env.files() == {}
    assert env.crashed(Crash.ALL_LOST).files() == {"/a": b"x"}
    env.sync_dir("/")
    assert env.crashed(Crash.ALL_LOST).files() == {}


def unsynced(blocks: int) -> MemoryEnv:
    env = MemoryEnv()
    durable(env, "/a", bytes(blocks * SECTOR * 8))
    file = env.open("/a", "write")
    for number in range(blocks):
        file.pwrite(bytes([number + 1]) * SECTOR * 8, number * SECTOR * 8)
    return env


def test_some_writes_are_kept_whole_and_others_not_at_all() -> None:
    env = unsynced(16)
    kinds = set()
    for seed in range(30):
        data = env.crashed(Crash.SOME_KEPT, seed).get("/a")
        blocks = [set(data[n * SECTOR * 8 : (n + 1) * SECTOR * 8]) for n in range(16)]
        assert all(block in ({0}, {n + 1}) for n, block in enumerate(blocks))
        kept = [block != {0} for block in blocks]
        assert 0 < sum(kept) < 16
        kinds.add(tuple(kept))
    assert len(kinds) > 20
    assert env.crashed(Crash.SOME_KEPT, 5).files() == env.crashed(Crash.SOME_KEPT, 5).files()


def test_torn_writes_are_torn_at_sectors() -> None:
    data = unsynced(4).crashed(Crash.TORN, 2).get("/a")
    sectors = [set(data[at : at + SECTOR]) for at in range(0, len(data), SECTOR)]
    assert all(len(sector) == 1 for sector in sectors)
    mixed = [sectors[n : n + 8] for n in range(0, len(sectors), 8)]
    assert any(len({min(s) for s in block}) == 2 for block in mixed)


def test_kept_writes_can_change_their_order() -> None:
    env = MemoryEnv()
    durable(env, "/a", b"0")
    file = env.open("/a", "write")
    file.pwrite(b"1", 0)
    file.pwrite(b"2", 0)
    found = {env.crashed(Crash.SOME_KEPT, seed).get("/a") for seed in range(40)}
    assert found == {b"0", b"1", b"2"}


def test_a_crash_changes_nothing_in_the_environment_that_crashed() -> None:
    env = unsynced(2)
    env.rename("/a", "/b")
    before = env.files()
    for crash in CRASHES:
        env.crashed(crash, 7)
    assert env.files() == before
    assert env.crashed(Crash.ALL_LOST).files() == {"/a": bytes(2 * SECTOR * 8)}


def test_a_copy_can_end_in_the_middle() -> None:
    env = FaultEnv()
    env.put("/a", bytes(range(256)) * 1024)
    env.copy("/a", "/whole")
    assert env.get("/whole") == env.get("/a")
    steps = [kind for kind, _ in env.changes]
    env = FaultEnv()
    env.put("/a", bytes(range(256)) * 1024)
    env.kill_at = len(steps)
    with pytest.raises(Killed):
        env.copy("/a", "/part")
    assert 0 < len(env.get("/part")) < 256 * 1024


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3000),
            st.one_of(st.none(), st.binary(min_size=1, max_size=1500)),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_live_and_durable_contents_are_those_of_plain_bytes(
    steps: list[tuple[int, bytes | None, bool]],
) -> None:
    env = MemoryEnv()
    durable(env, "/a", b"")
    file = env.open("/a", "write")
    live = stable = b""
    for offset, data, sync in steps:
        if data is None:
            file.truncate(offset)
            live = live[:offset].ljust(offset, b"\0")
        else:
            file.pwrite(data, offset)
            live = live[:offset].ljust(offset, b"\0") + data + live[offset + len(data) :]
        if sync:
            file.sync()
            stable = live
    assert env.get("/a") == live
    assert file.size() == len(live)
    assert env.crashed(Crash.ALL_KEPT).get("/a") == live
    assert env.crashed(Crash.ALL_LOST).get("/a") == stable


def test_sectors_make_up_the_write() -> None:
    whole = Write(700, bytes(range(256)) * 8)
    parts = whole.sectors()
    content, other = bytearray(), bytearray()
    whole.apply(content)
    for part in reversed(parts):
        part.apply(other)
    assert content == other
    assert all(p.offset // SECTOR == (p.offset + len(p.data or b"") - 1) // SECTOR for p in parts)


# Faults


def use(env: Env) -> None:
    env.mkdir("/place")
    written(env, "/place/a", b"x" * 3000, sync=True)
    env.copy("/place/a", "/place/b")
    env.rename("/place/b", "/place/c")
    env.remove("/place/a")
    env.sync_dir("/place")


def test_every_change_is_counted_and_can_be_the_last() -> None:
    env = FaultEnv()
    use(env)
    kinds = [kind for kind, _ in env.changes]
    assert kinds == [
        *("mkdir", "create", "write", "sync", "create", "copy", "rename", "remove", "sync_dir")
    ]
    for number in range(1, len(kinds) + 1):
        env = FaultEnv()
        env.kill_at = number
        with pytest.raises(Killed):
            use(env)
        assert len(env.changes) == number - 1
        with pytest.raises(Killed):  # nothing more after death
            env.mkdir("/other")


def test_a_full_disk_refuses_to_grow_but_lets_remove() -> None:
    for number in range(1, 7):
        env = FaultEnv()
        env.fill_disk(number)
        with pytest.raises(DiskFull) as caught:
            use(env)
        assert caught.value.file.startswith("/place")
        env.remove_tree("/place")
        assert not env.exists("/place")


def test_a_broken_device_refuses_everything() -> None:
    env = FaultEnv()
    env.break_device(7)
    with pytest.raises(IoFailed):
        use(env)
    with pytest.raises(IoFailed):
        env.remove_tree("/place")


def test_broken_reads_begin_when_told_and_on_that_file_only() -> None:
    env = FaultEnv()
    env.put("/a", b"abc")
    env.put("/b", b"abc")
    env.break_reads("/a", 2)
    first, second = env.open("/a", "read"), env.open("/b", "read")
    assert first.pread(2, 1) == b"bc"
    with pytest.raises(IoFailed, match="/a"):
        first.pread(2, 1)
    assert second.pread(9, 1) == b"bc"


def test_denied_files_cannot_be_opened_and_folders_not_listed() -> None:
    env = FaultEnv()
    env.put("/f/a", b"abc")
    env.deny("/f/a")
    env.deny("/f")
    with pytest.raises(AccessDenied):
        env.open("/f/a", "read")
    with pytest.raises(AccessDenied):
        env.copy("/f/a", "/f/b")
    with pytest.raises(AccessDenied):
        env.listdir("/f")


@given(st.integers(0, 799), st.integers(0, 99), st.integers(0, 99))
def test_a_flipped_bit_is_wrong_in_every_read_that_covers_it(bit: int, at: int, size: int) -> None:
    env = FaultEnv()
    env.put("/a", bytes(100))
    env.flip("/a", bit)
    got = env.open("/a", "read").pread(size, at)
    expected = bytearray(100)
    expected[bit // 8] = 1 << bit % 8
    assert got == bytes(expected)[at : at + size]
    assert env.get("/a") == bytes(100)


@pytest.mark.parametrize("change", [bytearray.clear, lambda data: data.extend(b"more")])
def test_a_file_changes_under_its_reader(change: Callable[[bytearray], None]) -> None:
    env = FaultEnv()
    env.put("/a", b"abc")
    env.on_read("/a", 2, change)
    file = env.open("/a", "read")
    assert file.pread(100, 0) == b"abc"
    expected = bytearray(b"abc")
    change(expected)
    assert file.pread(100, 0) == expected


# It behaves as the operating system does


def outcome(env: Env, action: str, one: str, two: str) -> object:
    try:
        return ACTIONS[action](env, one, two)
    except HotsplitError as error:
        return type(error)


@pytest.mark.parametrize("seed", range(20))
def test_the_same_calls_give_the_same_as_the_operating_system(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    memory, system = MemoryEnv(), OsEnv()
    names = ["a", "b", "d", "d/a", "d/b", "d/e", "d/e/f"]
    for _ in range(60):
        one, two = chance.choice(names), chance.choice(names)
        action = chance.choice(list(ACTIONS))
        results = [
            outcome(env, action, f"{top}/{one}", f"{top}/{two}")
            for env, top in ((memory, ""), (system, str(tmp_path)))
        ]
        assert results[0] == results[1], (action, one, two)


ACTIONS: dict[str, Callable[[Env, str, str], object]] = {
    "mkdir": lambda env, one, _: env.mkdir(one),
    "create": lambda env, one, _: written(env, one, one.rpartition("/")[2].encode()),
    "read": lambda env, one, _: env.open(one, "read").pread(9, 1),
    "list": lambda env, one, _: env.listdir(one),
    "exists": lambda env, one, _: (env.exists(one), env.is_dir(one)),
    "remove_tree": lambda env, one, _: env.remove_tree(one) if env.is_dir(one) else None,
    "remove": lambda env, one, _: None if env.is_dir(one) else env.remove(one),
    "copy": lambda env, one, two: None if env.is_dir(one) else env.copy(one, two),
    "rename": lambda env, one, two: None if env.is_dir(two) else env.rename(one, two),
}


def test_what_was_written_is_told_from_room_that_was_only_taken(tmp_path: Path) -> None:
    for env, folder in ((OsEnv(), str(tmp_path)), (MemoryEnv(), "")):
        file = env.open(f"{folder}/a", "create")
        file.allocate(1 << 20)
        file.pwrite(b"x" * 5000, 1 << 18)
        assert file.has_data(1 << 18, 4096)
        assert file.has_data((1 << 18) - 10, 11)
        assert not file.has_data(1 << 20, 4096)
        assert not file.has_data(1 << 30, 4096)
        for offset in range(0, 1 << 20, 4096):  # a file system without holes says so of all
            assert file.has_data(offset, 4096) or not any(file.pread(4096, offset))
        file.close()


@pytest.mark.parametrize("change", ["grow", "cut", "touch"])
def test_the_operating_systems_copy_notices_a_source_that_changes(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(bytes(5000))
    sendfile = os.sendfile

    def meanwhile(out: int, into: int, offset: int, count: int) -> int:
        data = {"grow": bytes(6000), "cut": bytes(10), "touch": b"x" * 5000}[change]
        source.write_bytes(data)
        os.utime(source, ns=(0, 0))
        return sendfile(out, into, offset, count)

    def no_reflink(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("fcntl.ioctl", no_reflink)
    OsEnv().copy(str(source), str(tmp_path / "quiet"))
    monkeypatch.setattr("os.sendfile", meanwhile)
    with pytest.raises(SourceChanged):
        OsEnv().copy(str(source), str(target))


@pytest.mark.parametrize(
    "parts",
    [[], [(0, 1)], [(1 << 20, 5)], [(0, 5000), (1 << 20, 70_000)], [(0, 4096), (9 << 19, 4096)]],
)
def test_the_operating_systems_copy_has_every_byte_and_takes_no_room_for_holes(
    parts: list[tuple[int, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    with source.open("wb") as file:
        for start, size in parts:
            file.seek(start)
            file.write(random.Random(start).randbytes(size))
        os.posix_fallocate(file.fileno(), 6 << 20, 2 << 20)

    def no_reflink(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("fcntl.ioctl", no_reflink)
    OsEnv().copy(str(source), str(target))
    assert target.read_bytes() == source.read_bytes()
    if source.stat().st_blocks * 512 < 4 << 20:  # this file system has holes
        assert target.stat().st_blocks < source.stat().st_blocks


def test_errors_are_ours() -> None:
    env = MemoryEnv(largest=100)
    with pytest.raises(FileMissing):
        env.open("/none", "read")
    written(env, "/a", b"x")
    with pytest.raises(TargetExists):
        env.open("/a", "create")
    with pytest.raises(DiskFull):
        env.open("/a", "write").truncate(101)
    with pytest.raises(IoFailed):
        env.open("/a", "read").pwrite(b"x", 0)


def test_time_and_chance_are_the_same_in_every_run() -> None:
    one, two = MemoryEnv(), MemoryEnv()
    assert one.now() == two.now()
    assert one.now().tzinfo is dt.UTC
    drawn = [one.random(16) for _ in range(4)]
    assert [two.random(16) for _ in range(4)] == drawn
    assert len(set(drawn)) == 4
