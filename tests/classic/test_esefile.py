"""``esefile`` does what its documents show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hotsplit.errors import Jet
from tests.classic.tool import run_esefile, run_eseutil
from tests.conftest import unpack_vector


@pytest.fixture
def database(shared: Path) -> Path:
    return unpack_vector("crash-p4096-mid") / "recovered" / "test.edb"


def sample(shared: Path) -> list[str]:
    """The output that administrators wrote down, from ``Checksumming`` on, without empty lines."""
    (document,) = [
        text
        for path in (shared / "seeds").glob("*.txt")
        if "esefile /S" in (text := path.read_text(errors="replace"))
    ]
    part = document.partition("esefile /S")[2].partition("I:\\")[0]
    lines = [line.strip() for line in part.splitlines() if line.strip()]
    return lines[lines.index("Checksumming") :]


def test_checksums_look_as_documented(shared: Path, database: Path) -> None:
    ran = run_esefile("/S", database)
    shown = [line.strip() for line in ran.out if line.strip()]
    shown = shown[shown.index("Checksumming") :]
    assert ran.result == 0
    documented = sample(shared)
    assert shown[:4] == documented[:4]  # title, ruler, dots
    assert [re.sub(r"\d+", "#", line) for line in shown[4:]] == [
        re.sub(r"\d+", "#", line) for line in documented[4:]
    ]


def test_counts_are_those_of_eseutil(database: Path) -> None:
    counters = [line for line in run_esefile("-s", database).out if re.match(r"\d+ ", line)]
    assert set(counters) <= set(run_eseutil("/k", database).out)


def test_damage(database: Path, tmp_path: Path) -> None:
    data = bytearray(database.read_bytes())
    data[8 * 4096 + 200] ^= 0x03
    copy = tmp_path / "copy.edb"
    copy.write_bytes(data)
    ran = run_esefile("/s", copy)
    assert ran.result == Jet.errDatabaseCorrupted
    assert ran.err == ["ERROR: page 7 checksum failed"]
    assert "1 bad checksums" in ran.out


def test_pages(database: Path) -> None:
    described = run_esefile("/x", database, "4")
    dumped = run_esefile("/D", database, "0x4")
    assert described.result == dumped.result == 0
    assert "            objidFDP: 2" in described.out
    assert "              fFlags: 0x" in "\n".join(described.out)
    start = dumped.out.index(described.out[5])
    assert described.out[5:12] == dumped.out[start : start + 7]
    raw = [line for line in dumped.out if re.match(r"[0-9a-f]{8}    ", line)]
    stored = bytes.fromhex("".join(line[12:48].replace(" ", "") for line in raw))
    assert stored == database.read_bytes()[5 * 4096 : 6 * 4096]


def test_space_trees_show_extents(database: Path) -> None:
    lines = run_esefile("/x", database, "2").out
    assert any(re.search(r"SP: general: \d+,1-\d+ ", line) for line in lines)


@pytest.mark.parametrize("page", ["-1", "0"])
def test_headers_are_pages_too(database: Path, page: str) -> None:
    ran = run_esefile("/x", database, page)
    assert ran.result == 0
    assert sum("Checksum: 0x" in line for line in ran.out) == 2


def test_a_page_that_fails_its_checksum_is_shown(database: Path, tmp_path: Path) -> None:
    data = bytearray(database.read_bytes())
    data[5 * 4096 + 200] ^= 0x03
    copy = tmp_path / "copy.edb"
    copy.write_bytes(data)
    ran = run_esefile("/x", copy, "4")
    assert ran.result == Jet.errReadVerifyFailure
    assert any(line.startswith("            checksum: 0x") for line in ran.out)
    assert any(line.startswith("TAG   1: ") for line in ran.out)


def test_a_page_that_is_not_there(database: Path) -> None:
    assert run_esefile("/x", database, "1000000").result == Jet.errFileIOBeyondEOF
    assert run_esefile("/x", database, "-2").result == Jet.errFileIOBeyondEOF
    assert run_esefile("/x", database, "seven").result == -1


def test_copies(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.edb"
    ran = run_esefile("/c", database, target)
    assert ran.result == 0
    assert target.read_bytes() == database.read_bytes()
    again = run_esefile("/c", database, target)
    assert again.result == Jet.errFileAlreadyExists
    into = tmp_path / "folder"
    into.mkdir()
    assert run_eseutil("/y", database, f"-d{into}").result == 0
    assert (into / "test.edb").read_bytes() == database.read_bytes()
