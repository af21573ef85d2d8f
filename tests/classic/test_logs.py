"""Dumps of logs, every record, as the original prints them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotsplit.errors import Jet
from hotsplit.ese.format.logheader import LogHeader
from hotsplit.ese.format.logrecord import encode
from hotsplit.ese.format.recordtable import RecordType as T
from tests.classic.tool import ours, run_eseutil, theirs
from tests.conftest import set_names, unpack_vector
from tests.logs import LegacyWriter

DUMPED = [n for n in ("crash-p4096-mid", "crash-p32768-ddl") if n in set_names("crash")]
TABLE_ROW = re.compile(r"^( +\d+|Total) +\d+ +\d+ +\d+ +\d+ +\d+ +\d+ +\d+ +\d+$")


def runs(text: str) -> Iterator[tuple[str, str]]:
    """Yield (log file, output) of each run of the original."""
    for part in re.split(r"(?=^\nExtensible Storage)", text, flags=re.M):
        found = re.search(r"Log file: .*\\(\S+)", part)
        if found is not None:
            yield found[1], part


def without_reads(lines: list[str]) -> list[str]:
    """Blank what the original's model of reads says: its sort is not stable, see the docs."""
    found = []
    for line in lines:
        if TABLE_ROW.match(line):
            cells = line.split()
            line = " ".join(cells[:3] + cells[7:])
        found.append(line)
    return found


@pytest.mark.parametrize("name", DUMPED)
def test_verbose_dumps(name: str) -> None:
    folder = unpack_vector(name)
    text = (folder / "eseutil" / "crash.ml.txt").read_text()
    compared = 0
    for log, expected in runs(text):
        ran = run_eseutil("/ml", folder / "crash" / log, "/v")
        assert without_reads(ours(ran)) == without_reads(theirs(expected)), log
        compared += 1
    assert compared == len(list((folder / "crash").glob("E00*.log"))) - 1  # without E00tmp.log


def test_less_detail(stream: Path) -> None:
    path = stream / "E00.log"
    full = ours(run_eseutil("/ml", path, "/v2"))
    hidden = ours(run_eseutil("/ml", path, "/v1"))
    assert len(hidden) == len(full)
    assert {"Insert", "Commit"} <= {line.split()[1] for line in hidden if line.startswith(">")}
    assert not any(re.search(r"\)([0-9A-F]{2} )+$", line) for line in hidden)
    plain = ours(run_eseutil("/m", path, "/l"))
    summary = ours(run_eseutil("/ml", path, "/s"))
    records = next(i for i, line in enumerate(full) if line.startswith("Segment"))
    pages = full.index("Number of database page references:  54")
    table = full[pages + 1 : pages + 8]
    assert plain == [*full[:records], "", full[pages], *full[pages + 8 :]]
    assert summary == [*full[:records], "", *full[pages:]]
    assert table[1].startswith("=====")


def log_set(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


@pytest.fixture
def stream(shared: Path, tmp_path: Path) -> Path:
    return log_set(unpack_vector("crash-p4096-mid") / "crash", tmp_path / "logs")


def test_a_sound_set(stream: Path) -> None:
    ran = run_eseutil("/ml", stream / "E00")
    names = [f"E{n:010}.log" for n in range(1, 7)] + ["E00.log"]
    assert ran.result == 0
    assert ours(ran)[3:] == [
        "",
        "Verifying log files...",
        "     Base name: E00",
        "",
        *(f"      Log file: {name} - OK" for name in names),
        "",
        "No damaged log files were found.",
        "",
        "",
        "Operation completed successfully in #.",
    ]


def test_missing_logs(stream: Path) -> None:
    (stream / "E0000000002.log").unlink()
    (stream / "E0000000004.log").unlink()
    (stream / "E0000000005.log").unlink()
    ran = run_eseutil("/k", stream / "E00")
    assert ran.result == Jet.errMissingLogFile
    assert "      Missing log file: E0000000002.log" in ran.out
    assert "      Missing log files: E00{00000004 - 00000005}.log" in ran.out


def test_a_damaged_log(stream: Path) -> None:
    path = stream / "E0000000003.log"
    data = bytearray(path.read_bytes())
    data[8 * 4096 + 100] ^= 0xFF
    path.write_bytes(data)
    ran = run_eseutil("/ml", stream / "E00")
    assert ran.result == Jet.errLogFileCorrupt
    at = next(i for i, line in enumerate(ran.out) if line.endswith("E0000000003.log"))
    damage = " " * 16 + "ERROR: Log damaged (unusable). Last Lgpos: (0x3,8,0). Error -501."
    assert ran.out[at + 1] == damage
    alone = run_eseutil("/ml", path)
    assert " " * 6 + damage.strip() in alone.out
    assert alone.result == Jet.errLogFileCorrupt


def test_a_log_that_does_not_follow(stream: Path) -> None:
    path = stream / "E0000000004.log"
    data = path.read_bytes()
    header = LogHeader.unpack(data)
    before, header.previous_created = header.previous_created, header.created
    path.write_bytes(header.sealed() + data[4096:])
    ran = run_eseutil("/ml", stream / "E00")
    assert ran.result == Jet.errInvalidLogSequence
    reason = f"Previous generation time is [{header.created}], but expected [{before}]."
    assert f"{' ' * 16}ERROR: Invalid log sequence. {reason}" in ran.out


def test_the_checksum_of_all_segments_is_compared(stream: Path) -> None:
    path = stream / "E0000000004.log"
    data = path.read_bytes()
    header = LogHeader.unpack(data)
    before, header.previous_checksum = header.previous_checksum, 0x1234
    path.write_bytes(header.sealed() + data[4096:])
    ran = run_eseutil("/ml", stream / "E00")
    assert ran.result == Jet.errLogSequenceChecksumMismatch
    sums = f"0x0000000000001234, but expected 0x{before:016x}"
    assert any(line.endswith(f"segment checksum is {sums}.") for line in ran.out)


def test_a_log_under_the_wrong_name(stream: Path) -> None:
    (stream / "E0000000005.log").unlink()
    (stream / "E0000000006.log").rename(stream / "E0000000009.log")
    (stream / "E00.log").unlink()
    ran = run_eseutil("/ml", stream / "E00")
    assert ran.result == Jet.errMissingLogFile
    text = "ERROR: Mismatched log generation 6 (0x6) with log file name."
    assert f"{' ' * 16}{text} Expected generation 9 (0x9)." in ran.out


def test_a_range(stream: Path) -> None:
    ran = run_eseutil("/ml", stream / "E00", "/r2-4")
    assert "     Log generation range: 0x2-0x4" in ran.out
    assert sum(line.endswith("- OK") for line in ran.out) == 3
    assert run_eseutil("/ml", stream / "E00", "/r4-2").result == -1


def test_a_log_of_the_old_format(tmp_path: Path) -> None:
    writer = LegacyWriter()
    records = [
        encode(T.BEGIN0, procid=5, levels=0x10, trx=4),
        encode(T.INSERT, procid=5, dbid=1, pgno=30, dbtime=11, dbtime_before=10, data=b"\x07"),
        encode(T.COMMIT0, procid=5, level_to=0, trx=8),
    ]
    writer.chain([records])
    path = tmp_path / "E0000001.log"
    path.write_bytes(writer.data)
    ran = run_eseutil("/ml", path, "/v")
    assert ran.result == 0
    assert "      Format LGVersion: (7.3704.5.0) (generated by 0)" in ran.out
    lines = [line.partition(" ")[2] for line in ran.out if line.startswith(">")]
    assert [line for line in lines if not line.startswith("Checksum")] == [
        "Begin0    (5,from:0,to:1) 4",
        "Insert    b,a,0:0(5,[1:30:0],NU:NV:ND:NSP:USR:NCI,0,0,1,rceid:0,objid:[1:0])07 ",
        "Commit0   (5,to:0) 8",
    ]
    assert "Number of database page references:  1" in ran.out


def test_all_logs_of_a_stream_are_not_mended() -> None:
    """``/x`` is for single logs; with a base name they are verified, as the original does."""
    base = unpack_vector(DUMPED[0]) / "crash" / "E00"
    ran = run_eseutil("/ml", base, "/x")
    assert ran.result == run_eseutil("/ml", base).result
    assert "Verifying log files..." in ran.out


def test_damage_behind_the_end_of_the_data(tmp_path: Path) -> None:
    """The last position is that of the data, wherever behind it the damage lies."""
    source = unpack_vector(DUMPED[0]) / "crash" / "E00.log"
    whole = run_eseutil("/ml", source)
    (end,) = re.findall(r"Last Lgpos: (\S+)", "\n".join(whole.out))
    data = bytearray(source.read_bytes())
    for place in (-5000, -4700, -4500):
        data[place] ^= 0x14
    path = tmp_path / "E00.log"
    path.write_bytes(data)
    for mode in ("/ml", "/k"):
        ran = run_eseutil(mode, path)
        assert ran.result == Jet.errLogFileCorrupt
        complaint = f"      ERROR: Log damaged (unusable). Last Lgpos: {end}. Error -501."
        assert [line for line in ran.out if "ERROR" in line] == [complaint]


def test_a_log_without_a_readable_header(tmp_path: Path) -> None:
    data = bytearray((unpack_vector(DUMPED[0]) / "crash" / "E00.log").read_bytes())
    data[100] ^= 0xFF
    path = tmp_path / "E00.log"
    path.write_bytes(data)
    ran = run_eseutil("/ml", path)
    assert ran.result == Jet.errLogFileCorrupt
    errors = [line.strip() for line in ran.out if "ERROR" in line]
    assert errors == ["ERROR: Cannot read log file header. Error -501."]
