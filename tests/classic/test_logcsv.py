"""Records of logs as CSV, every line, as the engine writes them; damaged logs end without LTEL."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from hotsplit.classic.logcsv import changes
from hotsplit.ese.format.logrecord import decode
from tests.classic.test_logs import log_set
from tests.classic.tool import run_eseutil
from tests.conftest import unpack_vector

WRITTEN = Path(__file__).parents[1] / "data" / "logcsv"


def lines(path: Path) -> list[str]:
    return path.read_bytes().decode("utf-16").split("\r\n")


@pytest.mark.parametrize("name", sorted(path.name for path in WRITTEN.iterdir()))
def test_every_line_as_the_engine(name: str, shared: Path, tmp_path: Path) -> None:
    """The files were written by the published engine from these logs."""
    stem, _, log = name.removesuffix(".csv.xz").rpartition("-")
    source = next(iter(sorted(unpack_vector(stem).rglob(f"{log}.log"))))
    ran = run_eseutil("/ml", source, f"/c{tmp_path / 'x.csv'}")
    assert ran.result == 0
    assert "Csv file:" in "\n".join(ran.out)
    assert (tmp_path / "x.csv").read_bytes() == lzma.decompress((WRITTEN / name).read_bytes())


@pytest.fixture
def stream(shared: Path, tmp_path: Path) -> Path:
    return log_set(unpack_vector("crash-p4096-mid") / "crash", tmp_path / "logs")


def test_a_set_goes_to_one_file(stream: Path, tmp_path: Path) -> None:
    one, all_ = tmp_path / "one.csv", tmp_path / "all.csv"
    assert run_eseutil("/ml", stream / "E00", "/c", all_).result == 0
    logs = [*sorted(stream.glob("E0000*.log")), stream / "E00.log"]
    expected: list[str] = []
    for log in logs:
        one.unlink(missing_ok=True)
        assert run_eseutil("/ml", log, "/c", one).result == 0
        expected += lines(one)[:-1]
    assert lines(all_)[:-1] == expected
    assert expected.count("LTEL") == len(logs)


def test_a_damaged_log_has_no_end(stream: Path, tmp_path: Path) -> None:
    log, whole = stream / "E0000000002.log", tmp_path / "whole.csv"
    assert run_eseutil("/ml", log, "/c", whole).result == 0
    data = bytearray(log.read_bytes())
    data[5 * 4096 + 100 : 5 * 4096 + 400] = b"x" * 300
    log.write_bytes(data)
    ran = run_eseutil("/ml", log, "/c", tmp_path / "part.csv")
    assert ran.result == -501
    found, sound = lines(tmp_path / "part.csv"), lines(whole)
    assert "LTEL" not in found
    assert 10 < len(found) < len(sound)
    assert found[1:-1] == sound[1 : len(found) - 1]


def test_nothing_is_overwritten(stream: Path) -> None:
    log = stream / "E0000000002.log"
    before = log.read_bytes()
    assert run_eseutil("/ml", log, "/c", log).result != 0
    assert log.read_bytes() == before
    assert run_eseutil("/ml", stream / "nobody.log", "/c", stream / "new.csv").result == -1811
    assert not (stream / "new.csv").exists()


def test_pages_of_a_shrinking_are_bounded() -> None:
    raw = bytes([94, 1]) + (10).to_bytes(4, "little") + b"\xff\xff\xff\xff"
    first = [change.pgno for change, _ in zip(changes(decode(raw)), range(3), strict=False)]
    assert first == [11, 12, 13]
    assert sum(1 for _ in changes(decode(raw))) <= 1 << 20
