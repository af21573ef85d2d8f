"""Streams of logs: gaps, foreign and misnamed files, duplicates, checkpoint, start of replay."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hotsplit.errors import CheckpointUnusable, Jet, LogsMissing
from hotsplit.ese.files.checkpointfile import CheckpointFile, write_checkpoint
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.files.identify import FileKind, examine, identify
from hotsplit.ese.files.logsequence import LogSequence, checksum_link, find_streams
from hotsplit.ese.format.basics import LogPosition, LogTime, Signature
from hotsplit.ese.format.checkpoint import BLOCK_SIZE, Checkpoint
from hotsplit.ese.format.legacylog import FILL
from tests.conftest import SHARED, unpack_vector
from tests.logs import header

ENV = OsEnv()
MINE = Signature(1, LogTime(1, 1, 1, 1, 1, 120))
OTHER = Signature(2, LogTime(2, 2, 2, 2, 2, 121))


def put(
    folder: Path, name: str, generation: int, sign: Signature = MINE, tail: bytes = b""
) -> None:
    """Write a log whose creation times follow from its generation."""
    folder.mkdir(exist_ok=True)
    made = header(generation, sectors=4)
    made.signature = sign
    made.created = LogTime(generation, 0, 0, 1, 1, 120)
    made.previous_created = LogTime(generation - 1, 0, 0, 1, 1, 120)
    (folder / name).write_bytes((made.sealed() + bytes(4096) + tail).ljust(4 * 4096, b"\0"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "logs"
    for generation in range(5, 9):
        put(home, f"E0000{generation:06X}.log", generation)
    put(home, "E00.log", 9)
    for name in ("E00tmp.log", "E00res00001.jrs", "readme.txt", "E00garbage.log"):
        (home / name).write_bytes(bytes(4096))
    return home


def find(*folders: Path, **wanted: Signature) -> LogSequence:
    return LogSequence.find(ENV, [str(f) for f in folders], "E00", **wanted)


def rules(stream: LogSequence) -> dict[str, Jet | None]:
    return {f.rule: f.jet for f in stream.findings}


def test_whole_stream(folder: Path) -> None:
    stream = find(folder)
    assert sorted(stream.logs) == [5, 6, 7, 8, 9]
    assert stream.current is stream.logs[9]
    assert (stream.signature, stream.gaps, stream.findings) == (MINE, [], [])
    assert stream.tmp == str(folder / "E00tmp.log")
    assert stream.reserves == [str(folder / "E00res00001.jrs")]
    assert sorted(stream.ignored) == [str(folder / "E00garbage.log"), str(folder / "readme.txt")]
    assert stream.name_of(0xAB) == "E00000000AB.log"
    assert stream.replay_start(None) == LogPosition(5, 1, 0)


def test_gap(folder: Path) -> None:
    (folder / "E0000000006.log").unlink()
    (folder / "E0000000007.log").unlink()
    stream = find(folder)
    assert stream.gaps == [(6, 7)]
    assert rules(stream) == {"log-gap": Jet.errMissingLogFile}


def test_foreign_log(folder: Path) -> None:
    put(folder, "E0000000006.log", 6, OTHER)
    stream = find(folder)
    assert [info.path for info in stream.foreign] == [str(folder / "E0000000006.log")]
    assert rules(stream)["log-signature"] == Jet.errBadLogSignature
    assert stream.gaps == [(6, 6)]
    other = find(folder, signature=OTHER)
    assert sorted(other.logs) == [6]
    with pytest.raises(LogsMissing):
        find(folder, signature=Signature(3))


def test_broken_link_and_older_version(folder: Path) -> None:
    path = folder / "E0000000007.log"
    made = header(7, sectors=4)
    made.signature = MINE
    made.update_major = 4
    path.write_bytes(made.sealed() + path.read_bytes()[4096:])
    stream = find(folder)
    assert rules(stream) == {"log-chain": Jet.errInvalidLogSequence, "log-version": None}
    assert sum(f.rule == "log-chain" for f in stream.findings) == 2


def test_name_and_header_disagree(folder: Path) -> None:
    shutil.copy(folder / "E0000000005.log", folder / "E0000000007.log")
    stream = find(folder)
    assert rules(stream) == {"log-file": Jet.errLogGenerationMismatch}
    assert not stream.logs[7].usable
    assert stream.gaps == []


def test_damaged_header_and_wrong_size(folder: Path) -> None:
    for name, change in (("E0000000006.log", 100), ("E00.log", 50)):
        data = bytearray((folder / name).read_bytes())
        data[change] ^= 1
        (folder / name).write_bytes(data)
    short = folder / "E0000000008.log"
    short.write_bytes(short.read_bytes()[:-1])
    stream = find(folder)
    assert [f.jet for f in stream.findings] == [
        Jet.errLogFileCorrupt,
        Jet.errLogFileCorrupt,
        Jet.errLogFileSizeMismatch,
    ]
    assert stream.logs[6].header is None
    assert stream.current is not None
    assert stream.current.generation == 0
    assert sorted(stream.logs) == [5, 6, 7, 8]


def test_duplicates_in_two_folders(folder: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    shutil.copy(folder / "E0000000006.log", second)
    stream = find(folder, second)
    assert [info.path for info in stream.duplicates] == [str(second / "E0000000006.log")]
    assert stream.findings == []
    put(second, "E0000000007.log", 7, tail=b"x")
    assert list(rules(find(folder, second))) == ["log-duplicate"]


def test_current_log_beside_its_numbered_copy(folder: Path) -> None:
    shutil.copy(folder / "E00.log", folder / "E0000000009.log")
    stream = find(folder)
    assert not stream.logs[9].is_current
    assert stream.current is not None
    assert stream.findings == []


def test_several_streams_in_a_folder(folder: Path) -> None:
    for generation in (1, 2):
        put(folder, f"SRU{generation:05X}.log", generation, OTHER)
    streams = find_streams(ENV, [str(folder)])
    assert [s.base for s in streams] == ["E00", "SRU"]
    assert streams[1].digits == 5
    assert LogSequence.find(ENV, [str(folder)], signature=OTHER).base == "SRU"


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "abc.log").write_text("a text file")
    assert find_streams(ENV, [str(tmp_path)]) == []
    with pytest.raises(LogsMissing) as caught:
        LogSequence.find(ENV, [str(tmp_path)])
    assert caught.value.jet == Jet.errMissingLogFile


def checkpoint(position: LogPosition, sign: Signature = MINE) -> Checkpoint:
    made = Checkpoint.empty()
    made.position, made.signature, made.file_type = position, sign, 4
    return made


def test_checkpoint_decides_where_replay_starts(folder: Path) -> None:
    path = str(folder / "E00.chk")
    for position, start in (((7, 2, 90), "(0x7,2,5A)"), ((6, 0, 0), "(0x6,1,0)")):
        write_checkpoint(ENV, path, checkpoint(LogPosition(*position)))
        stream = find(folder)
        found = stream.read_checkpoint(ENV)
        assert found is not None
        assert str(stream.replay_start(found.checkpoint)) == start
    with pytest.raises(LogsMissing) as caught:
        stream.replay_start(checkpoint(LogPosition(0x4C, 1, 0)))
    assert "E000000004C.log" in caught.value.message
    write_checkpoint(ENV, path, checkpoint(LogPosition(7, 2, 90), OTHER))
    stream = find(folder)
    assert stream.read_checkpoint(ENV) is None
    assert rules(stream) == {"checkpoint": Jet.errBadCheckpointSignature}


def test_copies_of_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "E00.chk"
    write_checkpoint(ENV, str(path), checkpoint(LogPosition(7, 2, 90)))
    good = path.read_bytes()
    assert good[:BLOCK_SIZE] == good[BLOCK_SIZE:]
    assert CheckpointFile.read(ENV, str(path)).findings == ()
    for bad, used in ((19, "shadow"), (BLOCK_SIZE + 19, "primary")):
        data = bytearray(good)
        data[bad] ^= 0x10
        path.write_bytes(data)
        found = CheckpointFile.read(ENV, str(path))
        assert found.copy == used
        assert found.findings[0].position == f"offset {bad - 19}"
        assert found.checkpoint.sealed() == good[:BLOCK_SIZE]
    for ruined in (b"", bytes(8192), bytes(100), b"x" * 8192):
        path.write_bytes(ruined)
        with pytest.raises(CheckpointUnusable) as caught:
            CheckpointFile.read(ENV, str(path))
        assert (caught.value.jet, caught.value.file) == (Jet.errCheckpointCorrupt, str(path))


def test_accumulated_checksum(folder: Path) -> None:
    info = find(folder).logs[6]
    assert checksum_link(77, info) is None
    assert info.header is not None
    info.header.previous_checksum = 78
    assert checksum_link(78, info) is None
    broken = checksum_link(77, info)
    assert broken is not None
    assert broken.jet == Jet.errLogSequenceChecksumMismatch


EXTENSIONS = {
    ".log": FileKind.LOG,
    ".chk": FileKind.CHECKPOINT,
    ".jfm": FileKind.FLUSH_MAP,
    ".edb": FileKind.DATABASE,
    ".dit": FileKind.DATABASE,
    ".sdb": FileKind.DATABASE,
    ".mdb": FileKind.DATABASE,
    ".jrs": FileKind.RESERVE_LOG,
    ".md": FileKind.UNKNOWN,
    ".json": FileKind.UNKNOWN,
}


def test_kinds_of_real_files(shared: Path) -> None:
    compared = 0
    for path in [*(SHARED / "corpus").rglob("*"), *unpack_vector("crash-p4096-mid").rglob("*")]:
        wanted = EXTENSIONS.get(path.suffix)
        if wanted is None or "tmp" in path.name or "pages" in path.parts:
            continue
        if wanted == FileKind.RESERVE_LOG and any(path.read_bytes()):
            continue  # what a reserve log holds does not matter: one has old blocks of the disk
        assert examine(ENV, str(path)) == (wanted, True), path
        compared += 1
    assert compared > 80


def test_kinds_without_a_file_type(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content, kind in (
        (b"", FileKind.EMPTY),
        (FILL * 2560, FileKind.RESERVE_LOG),
        (b"MZ" * 5000, FileKind.UNKNOWN),
        (bytes(100), FileKind.UNKNOWN),
    ):
        path.write_bytes(content)
        assert identify(ENV, str(path)) == kind
    old = header(legacy=True)
    old.file_type = 0
    path.write_bytes(old.sealed() + FILL * 128)
    assert identify(ENV, str(path)) == FileKind.LOG
    damaged = bytearray(header().sealed())
    damaged[200] ^= 1
    path.write_bytes(damaged)
    assert examine(ENV, str(path)) == (FileKind.LOG, False)
