"""Real log files: every record, positions of the engine's own dump, damage and its error."""

from __future__ import annotations

import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotsplit.errors import HotsplitError, Jet
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.files.identify import FileKind, identify
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.files.logsequence import LogSequence, checksum_link
from hotsplit.ese.format.beforeimage import before_image
from hotsplit.ese.format.logrecord import decode, encode
from hotsplit.ese.format.logsegment import pack_segment, walk_segment
from hotsplit.ese.format.page import Page
from hotsplit.ese.format.recordtable import RecordType
from tests.conftest import manifest, set_names, unpack_vector
from tests.logs import LegacyWriter, folders_with_logs, header

T = RecordType
ENV = OsEnv()
FOLDERS = folders_with_logs()
DUMPED = [n for n in ("crash-p4096-mid", "crash-p32768-ddl") if n in set_names("crash")]
ERRORS = set_names("errors")


def logs_of(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*.log") if "tmp" not in p.name)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: "/".join(p.parts[-2:]))
def test_every_record_of_real_streams(folder: Path) -> None:
    """Records decode, encode back to the same bytes, and fill their segments; the chain holds."""
    seen = 0
    before: int | None = None
    stream = LogSequence.find(ENV, [str(folder)])
    assert (stream.gaps, stream.foreign) == ([], [])
    for generation in sorted(stream.logs):
        info = stream.logs[generation]
        with LogFile.open(ENV, info.path, signature=stream.signature) as log:
            assert (log.damage, log.corrected) == (None, ())
            assert before is None or checksum_link(before, info) is None
            before = log.scan().checksum
            for _, segment in log.segments():
                steps = list(walk_segment(segment))
                assert not any(segment[sum(steps[-1]) if steps else 40 :])
                assert all(a + n == b for (a, n), (b, _) in pairwise(steps))
            for _, raw in log.records():
                record = decode(raw)
                if seen % 3 == 0:
                    assert encode(record.type, **record.as_dict()) == raw
                if record.type in (T.SPLIT2, T.MERGE2):
                    image = before_image(record, log.header.page_size)
                    assert image is None or Page(image).problem() is None
                seen += 1
    assert seen > 100


@pytest.mark.parametrize("name", DUMPED)
def test_positions_and_types_of_the_engines_dump(name: str) -> None:
    """The engine misprints one thing: the first record behind closing NOPs (specification 10.2)."""
    home = unpack_vector(name)
    dump = (home / "eseutil" / "crash.ml.txt").read_text()
    wanted: dict[int, list[tuple[str, str]]] = {}
    for place, tag in re.findall(r"^>([0-9A-F]{8},[0-9A-F]{4},[0-9A-F]{4}) (.{9})", dump, re.M):
        wanted.setdefault(int(place[:8], 16), []).append((place, tag.strip()))
    compared = misprinted = 0
    for path in logs_of(home / "crash"):
        with LogFile.open(ENV, str(path)) as log:
            records = [(p, decode(raw)) for p, raw in log.records()]
            ends = {p.sector: p for p, _ in records}
        expected = wanted.get(log.generation)
        if expected is None:
            continue
        assert [r.tag for _, r in records] == [tag for _, tag in expected]
        for (p, _), (place, _) in zip(records, expected, strict=True):
            mine = f"{p.generation:08X},{p.sector:04X},{p.byte:04X}"
            if mine != place:
                sector = int(place.split(",")[1], 16)
                assert p.byte == 0
                assert sector < p.sector
                assert ends[sector].byte < int(place.split(",")[2], 16)
                misprinted += 1
            compared += 1
        last = re.search(rf"lGeneration: {log.generation} .*?Last Lgpos: (\S+)", dump, re.S)
        assert last is not None
    assert compared > 1000
    assert misprinted < compared / 10


def log_cases() -> list[tuple[str, dict[str, Any]]]:
    """Cases of the errors sets that damage just one log file."""
    found = []
    for name in ERRORS:
        for case in manifest()[name].get("cases", []):
            ops = case["ops"]
            files = {op.get("file", "") for op in ops}
            kinds = {op["op"] for op in ops}
            single = len(files) == 1 and files.pop().endswith(".log")
            if single and kinds <= {"xor", "fill", "truncate"}:
                found.append((name, case))
    return found


def apply(target: Path, ops: list[dict[str, Any]]) -> None:
    data = bytearray(target.read_bytes())
    for op in ops:
        if op["op"] == "truncate":
            data = data[: op["size"]].ljust(op["size"], b"\0")
            continue
        change = bytes.fromhex(op["hex"]) if op["op"] == "xor" else b""
        for i, value in enumerate(change):
            data[op["offset"] + i] ^= value
        if op["op"] == "fill":
            data[op["offset"] : op["offset"] + op["length"]] = bytes((op["byte"],)) * op["length"]
    target.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "case"), log_cases(), ids=lambda v: v["case"] if isinstance(v, dict) else v
)
def test_damaged_logs_get_the_engines_error(
    name: str, case: dict[str, Any], tmp_path: Path
) -> None:
    home = unpack_vector(name) / "base"
    target = tmp_path / case["ops"][0]["file"]
    shutil.copyfile(home / target.name, target)
    apply(target, case["ops"])
    found = 0
    try:
        with LogFile.open(ENV, str(target)) as log:
            log.check()
            list(log.records())
            if "bitflip" in case["case"]:
                assert len(log.corrected) == 1
    except HotsplitError as error:
        found = int(error.jet)
        assert error.file == str(target)
    assert found == case["result"]["error"]


def test_the_cases_are_there(shared: Path) -> None:
    assert len(log_cases()) >= 15


def test_opening_is_strict(tmp_path: Path) -> None:
    made = header()
    path = tmp_path / "E00.log"
    path.write_bytes(made.sealed() + bytes(made.file_size - 4096))
    other = made.signature._replace(random=1)
    for wanted, jet in (
        ({"signature": other}, Jet.errBadLogSignature),
        ({"page_size": 8192}, Jet.errPageSizeMismatch),
    ):
        with pytest.raises(HotsplitError) as caught:
            LogFile.open(ENV, str(path), **wanted)
        assert caught.value.jet == jet
    with LogFile.open(ENV, str(path), signature=made.signature, page_size=4096) as log:
        assert list(log.records()) == []
        assert str(log.end) == "(0x1,1,0)"
        assert not log.closed_normally
    path.write_bytes(made.sealed() + bytes(100))
    with pytest.raises(HotsplitError) as caught:
        LogFile.open(ENV, str(path))
    assert caught.value.jet == Jet.errLogFileSizeMismatch


def test_reading_from_a_position() -> None:
    if not FOLDERS:
        pytest.skip("needs the shared reference files")
    path = logs_of(FOLDERS[0])[0]
    with LogFile.open(ENV, str(path)) as log:
        records = list(log.records())
        for start in (0, 1, len(records) // 2, len(records) - 1):
            assert list(log.records(records[start][0])) == records[start:]
        beyond = log.end._replace(sector=log.end.sector + 1)
        assert list(log.records(beyond)) == []


def test_legacy_log_through_the_same_door(tmp_path: Path) -> None:
    writer = LegacyWriter()
    writer.chain([[encode(T.BEGIN0, procid=1)], [encode(T.COMMIT0), encode(T.TERM)]])
    path = tmp_path / "edb.log"
    path.write_bytes(writer.data)
    with LogFile.open(ENV, str(path)) as log:
        assert [(p, r) for p, r in log.records() if r[0] != T.CHECKSUM] == writer.written
        assert log.closed_normally
        assert (log.damage, log.end.byte) == (None, writer.at % 512)
    assert identify(ENV, str(path)) == FileKind.LOG


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_hostile_records_behind_good_checksums(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever the records say, only our errors come out."""
    made = header(sectors=6)
    body = made.sealed()
    for sector in range(1, 5):
        place = made.first_position._replace(sector=sector)
        kinds = st.lists(st.integers(0, 103), max_size=30)
        records = b"".join(
            bytes((kind,)) + data.draw(st.binary(max_size=60)) for kind in data.draw(kinds)
        )
        body += pack_segment(place, bytes(8), records[:4056])
    path = tmp_path / "E00.log"
    path.write_bytes(body + bytes(4096))
    with LogFile.open(ENV, str(path)) as log:
        try:
            assert log.damage is None
            for _, raw in log.records():
                decode(raw)
        except HotsplitError as error:
            assert error.file
