"""Dumps of headers and checkpoints, line by line as the original prints them."""

from __future__ import annotations

from pathlib import Path

import pytest

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
