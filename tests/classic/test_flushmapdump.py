"""``eseutil /mp``: the header and pages of flush maps."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotsplit.errors import Jet
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.files.flushmapfile import FlushMapFile
from hotsplit.ese.format.flushmap import PAGE_SIZE, PER_PAGE
from tests.classic.tool import run_eseutil
from tests.conftest import unpack_vector


@pytest.fixture
def path(shared: Path, tmp_path: Path) -> Path:
    source = unpack_vector("crash-p8192-mid") / "crash" / "test.jfm"
    copy = tmp_path / "test.jfm"
    copy.write_bytes(source.read_bytes())
    return copy


def _value(lines: list[str], label: str) -> str:
    return next(line for line in lines if line.startswith(f"{label:>36}: ")).partition(": ")[2]


def test_header(path: Path) -> None:
    ran = run_eseutil("/mp", path)
    assert ran.result == 0
    assert f"Flush map file: {path}" in ran.out
    assert _value(ran.out, "Persisted Checksum") == _value(ran.out, "Calculated Checksum")
    with FlushMapFile.open(OsEnv(), str(path)) as file:
        header = file.header
        assert _value(ran.out, "File Type") == "7"
        clean = "Yes" if header.is_clean else "No"
        assert f"(Clean:{clean}, " in _value(ran.out, "Flags")
        assert _value(ran.out, "DB Header Flush Signature") == str(header.header_flush_signature)
        assert _value(ran.out, "Log Required Min.").split()[0] == str(header.gen_min_required)


def test_page_with_states(path: Path) -> None:
    with FlushMapFile.open(OsEnv(), str(path)) as file:
        assert file.page_count == 1
        states, dbtime = file.flush_types(0, PER_PAGE), file.dbtime_max(0)
    ran = run_eseutil("/mp", path, "/p0", "/v")
    assert ran.result == 0
    assert _value(ran.out, "DB Time Max.").split()[0] == str(dbtime)
    at = ran.out.index("PGNO      : FLUSH STATE")
    shown = "".join(line.partition(": ")[2] for line in ran.out[at + 1 :] if line[:2] == "0x")
    assert bytes(map(int, shown.split())) == states
    assert any(states)
    assert "PGNO" not in "".join(run_eseutil("/mp", path, "/p0").out)


def test_damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[PAGE_SIZE + 100 : PAGE_SIZE + 104] = b"\xaa\x55\xaa\x55"
    path.write_bytes(data)
    ran = run_eseutil("/mp", path, "/p0")
    assert ran.result == Jet.errReadVerifyFailure
    assert _value(ran.out, "Persisted Checksum") != _value(ran.out, "Calculated Checksum")
    assert run_eseutil("/mp", path, "/p9").result < -1
    assert run_eseutil("/mp", path, "/p-7").result < -1
    assert run_eseutil("/mp", path, f"/p{1 << 60}").result == Jet.errFileIOBeyondEOF
    data[PAGE_SIZE:] = bytes(len(data) - PAGE_SIZE)
    path.write_bytes(data)
    assert "Flush map data page is empty." in run_eseutil("/mp", path, "/p0").out
    path.write_bytes(bytes(PAGE_SIZE))
    assert run_eseutil("/mp", path).result < -1


def test_all_pages_are_verified(path: Path) -> None:
    pages = path.stat().st_size // PAGE_SIZE
    ran = run_eseutil("/k", path)
    assert ran.result == 0
    at = ran.out.index(".")
    assert ran.out[at + 1 : at + 4] == [
        f"{pages} page(s) verified.",
        "0 page(s) failed verification.",
        "0 page(s) passed verification with a warning.",
    ]


def test_a_damaged_page_is_named(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[PAGE_SIZE + 5000] ^= 0xFF
    path.write_bytes(data)
    ran = run_eseutil("/k", path)
    assert ran.result == Jet.errReadVerifyFailure
    complaint = ".ERROR: page 0 (0x00000000) failed verification with error code -1018."
    at = ran.out.index(complaint)
    assert "1 page(s) failed verification." in ran.out[at:]


def test_numbers_of_logs_are_as_the_original_prints_them(path: Path) -> None:
    ran = run_eseutil("/mp", path)
    with FlushMapFile.open(OsEnv(), str(path)) as file:
        low = file.header.gen_min_required
    expected = f"{low} ({low:#x})" if low else "0 (0)"
    assert _value(ran.out, "Log Required Min.") == expected
