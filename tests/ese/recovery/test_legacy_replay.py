"""Logs of format v7 are replayed like those of v8.

There are no databases with v7 logs to test with, so the logs of sets that the real engine wrote in
v8 are written anew in v7: the same records, each flush under a CHECKSUM record. The recovered rows
must be the engine's.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.files.logsequence import LogInfo, LogSequence
from hotsplit.ese.format.basics import LogPosition, LogTime
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.format.legacylog import FILL
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.recover import recover
from tests.conftest import manifest, unpack_vector
from tests.expected import compare_rows
from tests.logs import LegacyWriter

_A_FLUSH = 40  # records


def as_v7(info: LogInfo, target: Path) -> dict[int, LogPosition]:
    """Write a log anew in format v7; return the new positions of Create and Attach records."""
    assert info.header is not None
    with LogFile.open(OsEnv(), info.path) as log:
        records = [raw for _, raw in log.records()]
    writer = LegacyWriter(info.generation, sectors=8 + info.header.file_size // 128)
    header = writer.header
    for name in ("signature", "created", "previous_created", "page_size_raw"):
        setattr(header, name, getattr(info.header, name))
    writer.data[:4096] = header.sealed()
    flushes = [records[i : i + _A_FLUSH] for i in range(0, len(records), _A_FLUSH)] or [[]]
    writer.chain(flushes)
    target.write_bytes(writer.data)
    kinds = (T.CREATE_DB, T.ATTACH_DB)
    return {raw[0]: place for place, raw in writer.written if raw[0] in kinds}


@pytest.fixture(params=["crash-p4096-base", "crash-p4096-mid", "crash-p8192-lazy"])
def legacy(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A set with its logs in format v7, from the one on that creates the database."""
    name: str = request.param
    if name not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    source, folder = unpack_vector(name) / "crash", tmp_path / "v7"
    folder.mkdir()
    sequence = LogSequence.find(OsEnv(), [str(source)])
    attach = LogPosition()
    for info in sequence.logs.values():
        attach = as_v7(info, folder / Path(info.path).name).get(T.CREATE_DB, attach)
    data = bytearray((source / "test.edb").read_bytes())
    size = manifest()[name]["page_size"]
    header = DatabaseHeader(bytes(data[:size]))
    assert header.gen_min_required == 1
    header.attach = attach
    header.gen_max_required_time = header.gen_max_create_time = LogTime()
    data[: 2 * size] = header.sealed() * 2
    (folder / "test.edb").write_bytes(data)
    return name, folder


def test_the_engines_rows(legacy: tuple[str, Path], tmp_path: Path) -> None:
    name, folder = legacy
    result = recover(OsEnv(), [str(folder)], [], str(tmp_path / "out"))
    expected = json.loads((unpack_vector(name) / "expected.json").read_text())
    with Database.open(OsEnv(), result.databases[0][0]) as db:
        assert not db.is_dirty
        assert compare_rows(db, expected) == []


def test_a_torn_end_of_the_last_log_is_cut_as_the_engine_does(
    legacy: tuple[str, Path], tmp_path: Path
) -> None:
    _, folder = legacy
    sequence = LogSequence.find(OsEnv(), [str(folder)])
    last = Path(sequence.logs[sequence.highest].path)
    with LogFile.open(OsEnv(), str(last)) as log:
        end = log.end
    data = bytearray(last.read_bytes())
    at = (end.sector - (end.byte == 0)) * 512  # the last sector of the last flush
    while not any(data[at : at + 512]):  # padding, which the sum cannot tell from unused space
        at -= 512
    data[at : end.sector * 512 + 512] = FILL * (end.sector + 1 - at // 512)
    last.write_bytes(data)
    with LogFile.open(OsEnv(), str(last)) as log:
        assert log.damage is not None
        assert log.damage.torn
    copy = shutil.copytree(folder, tmp_path / "copy")
    result = recover(OsEnv(), [str(copy)], [], str(tmp_path / "out"))
    assert [w.rule for w in result.warnings] == ["torn-tail-cut"]
