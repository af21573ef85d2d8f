"""What the log writer writes, read back by the readers of logs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotsplit.errors import InvalidUse
from hotsplit.ese.engine.log.files import LogFiles
from hotsplit.ese.engine.log.segments import SegmentBuffer
from hotsplit.ese.engine.log.writer import LogWriter
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.files.env import Env, OsEnv
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.files.logsequence import LogSequence
from hotsplit.ese.format.logrecord import decode, encode
from hotsplit.ese.format.logsegment import SEGMENT_HEADER, SEGMENT_SIZE
from hotsplit.ese.format.recordtable import RecordType as T
from tests.memoryenv import Crash, MemoryEnv

FOLDER = "/logs"


def writer(env: Env, folder: str = FOLDER, log_size: int = 64 << 10) -> LogWriter:
    env.mkdir(folder)
    env.sync_dir(folder.rpartition("/")[0] or "/")
    settings = Settings(folder, log_size=log_size)
    log = LogWriter(env, settings, LogFiles(env, settings))
    log.begin_stream()
    return log


def read_back(env: Env, folder: str = FOLDER) -> list[tuple[int, bytes]]:
    """All records but fillers, with their positions, in order; every file must be sound."""
    found = []
    sequence = LogSequence.find(env, [folder])
    for _, info in sorted(sequence.logs.items()):
        with LogFile.open(env, info.path, signature=sequence.signature) as log:
            log.check()
            for position, raw in log.records():
                if decode(raw).type != T.NOP2:
                    place = position.generation << 32 | position.sector << 16 | position.byte
                    found.append((place, raw))
            assert log.unfinished is None
    return found


def trace(text: bytes) -> bytes:
    return encode(T.TRACE, procid=5, text=text)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9000), st.booleans()), max_size=60))
def test_records_come_back_at_the_positions_told(steps: list[tuple[int, bool]]) -> None:
    env = MemoryEnv()
    log = writer(env)
    written = []
    for number, (size, flush) in enumerate(steps):
        record = trace(bytes([number + 1]) * size)
        written.append((log.append(record), record))
        if flush:
            log.flush()
    log.flush()
    assert read_back(env) == written


def test_generations_are_a_chain() -> None:
    env = MemoryEnv()
    log = writer(env)
    for number in range(300):
        log.append(trace(bytes([number % 250 + 1]) * 2000))
    log.flush()
    sequence = LogSequence.find(env, [FOLDER])
    assert len(sequence.logs) > 5
    assert not sequence.gaps
    for before, after in pairwise(info for _, info in sorted(sequence.logs.items())):
        assert before.header is not None
        assert after.header is not None
        assert after.header.previous_created == before.header.created
        with LogFile.open(env, before.path) as file:
            assert after.header.previous_checksum == file.scan().checksum


def test_a_flushed_record_survives_the_loss_of_everything_unsynced() -> None:
    env = MemoryEnv()
    log = writer(env)
    kept = [trace(bytes([n + 1]) * 3000) for n in range(60)]
    for record in kept:
        log.append(record)
    log.flush()
    log.append(trace(b"lost"))
    after = env.crashed(Crash.ALL_LOST)
    assert [raw for _, raw in read_back(after)] == kept


def test_records_that_lie_together_share_a_file() -> None:
    env = MemoryEnv()
    log = writer(env)
    pair = trace(b"a" * 3000), trace(b"b" * 3000)
    for _ in range(40):
        log.append_together(*pair)
        log.append(trace(b"c" * 500))
    log.flush()
    found = read_back(env)
    for (first, raw), (second, _) in pairwise(found):
        if raw == pair[0]:
            assert first >> 32 == second >> 32


def test_a_record_longer_than_a_log_is_refused() -> None:
    env = MemoryEnv()
    log = writer(env)
    with pytest.raises(InvalidUse):
        log.append(encode(T.IGNORED9, content=bytes(70_000)))
    log.append(encode(T.IGNORED9, content=bytes(50_000)))
    log.flush()
    assert len(read_back(env)) == 1


def test_many_threads_share_flushes(tmp_path: Path) -> None:
    log = writer(OsEnv(), str(tmp_path), 1 << 20)
    lock = threading.Lock()

    def commit(name: bytes) -> None:
        for _ in range(20):
            with lock:
                position = log.append(trace(name))
            log.flush(position)
            assert log.durable > position

    threads = [threading.Thread(target=commit, args=(b"%d" % n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert len(read_back(OsEnv(), str(tmp_path))) == 320
    assert log.flushes < 320


def test_a_position_behind_the_last_record_is_no_reason_to_wait_for_ever() -> None:
    log = writer(MemoryEnv())
    position = log.append(trace(b"the only one"))
    log.flush(1 << 62)
    assert log.durable > position
    log.flush(1 << 62)


def in_between(work: Callable[[], None]) -> threading.Thread:
    """Do `work` in a thread of its own, now; it may have to wait for this one."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(0.2)
    return thread


def test_a_flush_while_a_segment_is_being_closed_waits_for_its_records() -> None:
    log = writer(MemoryEnv())
    position = log.append(trace(b"to be durable"))
    threads, reached = list[threading.Thread](), list[int]()

    def flush() -> None:
        log.flush(position)
        reached.append(log.durable)

    class Segment(bytearray):
        def clear(self) -> None:
            super().clear()
            if not threads:
                threads.append(in_between(flush))

    log._buffer._open = Segment(log._buffer._open)
    log.append(trace(b"more than a segment" * 300))
    threads[0].join(10)
    assert reached[0] > position


def test_a_flush_takes_no_room_from_a_record_that_is_being_placed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env = MemoryEnv()
    log = writer(env)
    empty, room = len(trace(b"")), SEGMENT_SIZE - SEGMENT_HEADER
    kept = [trace(b"x" * (room - empty)) for _ in range(log._settings.log_sectors - 3)]
    for record in kept:
        log.append(record)
    kept += [trace(b"first"), trace(b"y" * (room - len(trace(b"first")) - empty))]
    log.append(kept[-2])
    fits, threads = SegmentBuffer.fits, list[threading.Thread]()

    def slow(buffer: SegmentBuffer, size: int) -> bool:
        found = fits(buffer, size)
        if not threads:
            threads.append(in_between(log.flush))
        return found

    monkeypatch.setattr(SegmentBuffer, "fits", slow)
    log.append(kept[-1])
    threads[0].join(10)
    log.flush()
    assert [raw for _, raw in read_back(env)] == kept
