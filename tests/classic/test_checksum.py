"""``eseutil /k`` counts and names what the original does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hotsplit.errors import Jet
from tests.classic.tool import ours, run_eseutil, theirs
from tests.conftest import set_names, unpack_vector
from tests.ese.check.test_scan import apply

COMPLAINT = re.compile("(ERROR|WARNING): page")


@pytest.mark.parametrize("name", set_names("crash"))
def test_sound_databases(name: str) -> None:
    folder = unpack_vector(name)
    for dump in sorted(folder.glob("eseutil/*.k.txt")):
        database = folder / dump.name.partition(".")[0] / "test.edb"
        if database.exists():
            ran = run_eseutil("/k", database)
            assert ours(ran) == theirs(dump.read_text()), dump
            assert (ran.result, ran.err) == (0, [])


def complaints(lines: list[str]) -> list[str]:
    """Return what is said of single pages; the original's threads say it in any order."""
    return sorted(line for line in lines if COMPLAINT.match(line))


def without_complaints(lines: list[str]) -> list[str]:
    kept = [line for line in lines if not COMPLAINT.match(line)]
    while not kept[-1].strip():
        kept.pop()
    return kept


def counted(lines: list[str]) -> list[str]:
    """Leave out the count that the original no longer makes: it always says 0."""
    return [line for line in lines if not line.endswith(" wrong page numbers")]


@pytest.mark.parametrize("name", set_names("pagebits"))
def test_damaged_pages(name: str, tmp_path: Path) -> None:
    folder = unpack_vector(name)
    listing = json.loads((folder / "flips.json").read_text())
    size, clean = listing["page_size"], (folder / "test.edb").read_bytes()
    path = tmp_path / "k.edb"
    for number in {flip["round"] for flip in listing["flips"]}:
        data = bytearray(clean)
        for flip in listing["flips"]:
            if flip["round"] == number:
                apply(data, flip, clean, size)
        path.write_bytes(data)
        ran = run_eseutil("/k", path)
        expected = theirs((folder / f"round{number}.k.txt").read_text())
        assert ran.result == Jet.errDatabaseCorrupted
        assert counted(ours(ran)) == counted(without_complaints(expected))
        assert complaints(ran.err) == complaints(expected)


@pytest.mark.parametrize("name", set_names("pagebits"))
def test_damaged_headers(name: str, tmp_path: Path) -> None:
    folder = unpack_vector(name)
    listing = json.loads((folder / "flips.json").read_text())
    size, clean = listing["page_size"], (folder / "test.edb").read_bytes()
    path = tmp_path / "k.edb"
    for flip in listing["header_flips"]:
        data = bytearray(clean)
        apply(data, flip, clean, size)
        path.write_bytes(data)
        ran = run_eseutil("/k", path)
        assert ran.err == flip["k_lines"]
        assert ran.result == flip["k_summary"]["error"][0]
