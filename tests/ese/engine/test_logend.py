"""The end of the log after a crash: what was durable stays or is missed, what was torn goes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotsplit.errors import HotsplitError, Jet, LogDamaged, LogsMissing
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.log.logend import unfinished_write
from hotsplit.ese.engine.log.segments import seal
from hotsplit.ese.engine.opening.inplace import recover_in_place
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.format.checksum import correct_segment, segment_checksum
from hotsplit.ese.format.logsegment import SEGMENT_HEADER, SEGMENT_SIZE, pack_segment
from hotsplit.ese.recovery.recover import recover
from tests.ese.engine.crashes import COLUMNS, FOLDER, INDEXES, PATH
from tests.memoryenv import SECTOR, Crash, MemoryEnv

LOG = f"{FOLDER}/E00.log"
SETTINGS = Settings(FOLDER, log_size=256 << 10)
TIME = bytes(8)
ROOM = SEGMENT_SIZE - SEGMENT_HEADER


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The files that a crash leaves of two durable commits: the second is the last write."""
    env = MemoryEnv()
    env.mkdir(FOLDER)
    env.sync_dir("/")
    instance = Instance.open(env, SETTINGS)
    database = instance.create_database(PATH)
    session = instance.session()
    table = session.create_table(database, "Items", COLUMNS, INDEXES)
    for number in (1, 2):
        with session.transaction():
            table.insert({"Id": number, "Name": f"n{number}", "Body": b"b" * 3000})
    return env.crashed(Crash.ALL_LOST).files()


@pytest.fixture
def env(files: dict[str, bytes]) -> MemoryEnv:
    made = MemoryEnv()
    for path, data in files.items():
        made.put(path, data)
    return made


def last_sector(env: MemoryEnv) -> int:
    with LogFile.open(env, LOG) as log:
        return log.end.sector - 1


def change(env: MemoryEnv, offset: int, data: bytes) -> None:
    whole = env.get(LOG)
    env.put(LOG, whole[:offset] + data + whole[offset + len(data) :])


def ids(env: MemoryEnv) -> list[object]:
    with Instance.open(env, SETTINGS) as instance, instance.session() as session:
        database = instance.databases.get(1) or instance.attach_database(PATH)
        return [row["Id"] for row in session.open_table(database, "Items").rows()]


@pytest.mark.parametrize("bit", [77, 8 * 26 + 2, 8 * 27 + 5, 8 * 300 + 1, 8 * 4000])
def test_a_wrong_bit_in_the_last_durable_write_is_corrected(env: MemoryEnv, bit: int) -> None:
    offset = last_sector(env) * SEGMENT_SIZE + bit // 8
    change(env, offset, bytes([env.get(LOG)[offset] ^ 1 << bit % 8]))
    assert ids(env) == [1, 2]


@pytest.mark.parametrize("place", [0, 24, 60, 600, 3800])
def test_a_damaged_last_durable_write_is_missed(env: MemoryEnv, place: int) -> None:
    offset = last_sector(env) * SEGMENT_SIZE + place
    change(env, offset, bytes(b ^ 0x5A for b in env.get(LOG)[offset : offset + 9]))
    before = env.files()
    with pytest.raises(LogDamaged) as error:
        Instance.open(env, SETTINGS)
    assert error.value.jet == Jet.errLogFileCorrupt
    assert error.value.file == LOG
    assert {path: env.files()[path] for path in before} == before


def test_a_torn_last_write_goes(env: MemoryEnv) -> None:
    change(env, last_sector(env) * SEGMENT_SIZE, bytes(SECTOR))
    assert ids(env) == [1]
    assert ids(env) == [1]


def as_other_engines(env: MemoryEnv) -> int:
    """Write all segments as engines do that leave the reserved bytes empty; return the last."""
    last = last_sector(env)
    for sector in range(1, last + 1):
        data = bytearray(env.get(LOG)[sector * SEGMENT_SIZE : (sector + 1) * SEGMENT_SIZE])
        data[24:36] = bytes(12)
        data[:8] = segment_checksum(data, sector).to_bytes(8, "little")
        change(env, sector * SEGMENT_SIZE, bytes(data))
    return last


def test_damage_in_the_middle_of_another_engines_log_cuts_nothing(env: MemoryEnv) -> None:
    last = as_other_engines(env)
    change(env, (last - 1) * SEGMENT_SIZE + 600, b"damage")
    with pytest.raises(LogDamaged) as error:
        Instance.open(env, SETTINGS)
    assert error.value.jet == Jet.errLogFileCorrupt


@pytest.mark.parametrize("in_place", [False, True])
def test_a_shadow_is_used_and_put_in_its_place(env: MemoryEnv, *, in_place: bool) -> None:
    last = as_other_engines(env)
    good = env.get(LOG)[last * SEGMENT_SIZE : (last + 1) * SEGMENT_SIZE]
    change(env, (last + 1) * SEGMENT_SIZE, good)
    change(env, last * SEGMENT_SIZE + 600, b"torn while it was written again")
    if in_place:
        recover_in_place(env, [PATH], [FOLDER])
    assert ids(env) == [1, 2]
    assert env.get(LOG)[last * SEGMENT_SIZE :][:SEGMENT_SIZE] == good
    with LogFile.open(env, LOG) as log:
        assert log.damage is None


def test_the_first_write_behind_another_engines_shadow(env: MemoryEnv) -> None:
    last = as_other_engines(env)
    good = env.get(LOG)[last * SEGMENT_SIZE : (last + 1) * SEGMENT_SIZE]
    new = seal(1, last + 1, TIME, last + 1, bytes(range(1, 256)) * 10)
    for kept in (0b00000110, 0b00111001):  # sectors of the new segment that reached the disk
        parts = [(new if kept >> k & 1 else good)[k * SECTOR : (k + 1) * SECTOR] for k in range(8)]
        change(env, (last + 1) * SEGMENT_SIZE, b"".join(parts))
        log = env.get(LOG)
        assert unfinished_write(log, 1, len(log) // SEGMENT_SIZE) == last + 1


# Any log

GENERATION = 9


def log_of(writes: list[list[bytes]]) -> tuple[bytearray, int]:
    """A whole log of these writes, and the first sector of the last one."""
    made, sector = bytearray(SEGMENT_SIZE), 1
    first = 1
    for bodies in writes:
        first = sector
        for body in bodies:
            made += seal(GENERATION, sector, TIME, first, body)
            sector += 1
    return made + bytes(8 * SEGMENT_SIZE), first


def bodies(least: int) -> st.SearchStrategy[list[bytes]]:
    some = st.one_of(
        st.binary(min_size=1, max_size=60),
        st.builds(lambda n, b: bytes([b]) * n, st.integers(1, ROOM), st.integers(1, 255)),
        st.builds(
            lambda n, b: bytes(n) + bytes([b]), st.integers(1, ROOM - 1), st.integers(1, 255)
        ),
    )
    return st.lists(some, min_size=least, max_size=4)


@settings(max_examples=300, deadline=None)
@given(st.lists(bodies(1), min_size=1, max_size=4), st.data())
def test_what_a_tear_left_is_found_from_its_begin(
    writes: list[list[bytes]], data: st.DataObject
) -> None:
    log, first = log_of(writes)
    whole = bytes(log)
    parts = range(first * 8, (first + len(writes[-1])) * 8)
    for part in parts:
        if not data.draw(st.booleans()):
            log[part * SECTOR : (part + 1) * SECTOR] = bytes(SECTOR)
    found = unfinished_write(bytes(log), GENERATION, len(log) // SEGMENT_SIZE)
    same = [
        log[s * SEGMENT_SIZE : (s + 1) * SEGMENT_SIZE]
        == whole[s * SEGMENT_SIZE : (s + 1) * SEGMENT_SIZE]
        for s in range(first, first + len(writes[-1]))
    ]
    wrong = first + same.index(False) if False in same else 0
    if not any(log[wrong * SEGMENT_SIZE :]):
        wrong = 0  # the log simply ends there
    assert found == wrong


@settings(max_examples=300, deadline=None)
@given(st.lists(bodies(1), min_size=1, max_size=4), st.data())
def test_damage_of_what_was_durable_is_no_tear(
    writes: list[list[bytes]], data: st.DataObject
) -> None:
    log, first = log_of(writes)
    sector = data.draw(st.integers(first, first + len(writes[-1]) - 1))
    used = [
        part
        for part in range(sector * 8, sector * 8 + 8)
        if any(log[part * SECTOR : (part + 1) * SECTOR])
    ]
    start = data.draw(st.sampled_from(used)) * SECTOR + data.draw(st.integers(0, SECTOR - 2))
    log[start] ^= data.draw(st.integers(1, 255))
    log[start + 1] ^= data.draw(st.integers(0, 255))
    if not any(log[start // SECTOR * SECTOR :][:SECTOR]):
        return  # as if it had never been written
    assert unfinished_write(bytes(log), GENERATION, len(log) // SEGMENT_SIZE) == 0


def test_a_tear_that_looks_like_one_wrong_bit_is_a_tear() -> None:
    whole = bytearray(log_of([[b"\1" * 600 + bytes(12), b"", b""]])[0])
    segment = whole[SEGMENT_SIZE : 2 * SEGMENT_SIZE]
    body = bytearray(ROOM)
    body[0] = 1
    for offset in (SECTOR, SECTOR + 16, SECTOR + 32):  # three bits of one lane
        body[offset - SEGMENT_HEADER] = 1
    segment = bytearray(seal(GENERATION, 1, TIME, 1, bytes(body)))
    segment[SECTOR : 2 * SECTOR] = bytes(SECTOR)
    assert correct_segment(bytes(segment), 1) is not None
    log = bytes(SEGMENT_SIZE) + bytes(segment) + bytes(6 * SEGMENT_SIZE)
    assert unfinished_write(log, GENERATION, 8) == 1


def test_a_stream_whose_only_log_has_no_sound_header(env: MemoryEnv) -> None:
    change(env, 100, b"damage")
    with pytest.raises(HotsplitError) as error:
        Instance.open(env, SETTINGS)
    assert error.value.jet == Jet.errLogFileCorrupt
    with pytest.raises(LogDamaged) as damaged:
        recover(env, [FOLDER], [], "/copy")
    assert (damaged.value.jet, damaged.value.file) == (Jet.errLogFileCorrupt, LOG)
    with pytest.raises(LogDamaged):
        recover_in_place(env, [PATH], [FOLDER])
    env.remove(LOG)
    env.put(f"{FOLDER}/app.log", b"Lines of another program" * 1000)
    with pytest.raises(LogsMissing):
        recover(env, [FOLDER], [], "/copy")


def test_a_segment_of_another_file_is_no_tear() -> None:
    log = bytearray(log_of([[b"first"], [b"second"]])[0])
    ahead = pack_segment(LogPosition(GENERATION + 1, 2, 0), TIME, b"x")
    log[2 * SEGMENT_SIZE : 3 * SEGMENT_SIZE] = ahead
    assert unfinished_write(bytes(log), GENERATION, len(log) // SEGMENT_SIZE) == 0
