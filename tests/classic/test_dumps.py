"""Dumps of headers and checkpoints, line by line as the original prints them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotsplit.ese.format.header import DatabaseHeader
from tests.classic.tool import ours, run_eseutil, theirs
from tests.conftest import set_names, unpack_vector

KINDS = ("os-snapshot", "backup-stream", "crash", "errors", "hotsplit")


def dumps(folder: Path, kind: str) -> list[Path]:
    """Files that hold the original's dump of a file that is there."""
    return sorted(folder.rglob(f"*.{kind}.txt"))


def dumped(folder: Path, dump: Path, name: str) -> Path:
    return folder / dump.name.partition(".")[0] / name


@pytest.mark.parametrize("name", set_names(*KINDS))
def test_headers(name: str) -> None:
    folder = unpack_vector(name)
    compared = 0
    for dump in dumps(folder, "mh"):
        database = dumped(folder, dump, "test.edb")
        if database.exists():
            ran = run_eseutil("/mh", database)
            assert ours(ran) == theirs(dump.read_text()), dump
            assert ran.result == 0
            compared += 1
    assert compared


@pytest.mark.parametrize("name", set_names("crash"))
def test_checkpoints(name: str) -> None:
    folder = unpack_vector(name)
    for dump in dumps(folder, "mk"):
        checkpoint = dumped(folder, dump, "E00.chk")
        if checkpoint.exists():
            ran = run_eseutil("-MK", checkpoint)
            assert ours(ran) == theirs(dump.read_text()), dump


@pytest.mark.parametrize("damaged", [None, 0, 1])
def test_both_headers(damaged: int | None, tmp_path: Path) -> None:
    """With ``/v`` each copy is shown, with the checksum that it has and that it should have."""
    name = set_names("crash")[0]
    data = bytearray((unpack_vector(name) / "recovered" / "test.edb").read_bytes())
    size = DatabaseHeader(data).page_size
    if damaged is not None:
        data[damaged * size + 300] ^= 0xFF
    path = tmp_path / "test.edb"
    path.write_bytes(data)
    ran = run_eseutil("/mh", path, "/v")
    first, second = (ran.out.index(f"DATABASE{word} HEADER:") for word in ("", " SHADOW"))
    parts = ran.out[first:second], ran.out[second:]
    for number, part in enumerate(parts):
        expected, actual = (line.rpartition(" ")[2] for line in part[2:4])
        assert int(expected, 16) == int.from_bytes(data[number * size :][:4], "little")
        assert (expected == actual) == (number != damaged)
        assert any(line.lstrip().startswith("Log Signature: ") for line in part)
    wrong = {0: "primary", 1: "shadow", None: "no"}[damaged]
    assert (f"WARNING: {wrong} header has a checksum error." in ran.out) == (damaged is not None)
    assert ran.result == 0
