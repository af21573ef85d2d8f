"""Streaming files beside a database. No real one is to be had: headers are written here.

Format specification 1.4 and 11.1.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import hotsplit
from hotsplit.classic.eseutil import main as eseutil
from hotsplit.cli import main
from hotsplit.errors import HeaderDamaged, NotEseFile
from hotsplit.ese.check.integrity import check_database
from hotsplit.ese.check.scan import scan_file
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.files.identify import FileKind, identify
from hotsplit.ese.files.streamfile import StreamFile, find_pair
from hotsplit.ese.format.basics import Signature
from hotsplit.ese.format.columns import Coltyp
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.read.database import Database
from hotsplit.report import Finding, Reporter, Severity
from tests.conftest import unpack_vector

ENV = OsEnv()
SIZE = 4096
_OURS, _FOREIGN = 0x1234, 0x4321


def _signature(header: DatabaseHeader, number: int) -> Signature:
    return header.db_signature._replace(random=number)


def _write_stream(path: Path, like: DatabaseHeader, number: int, pages: int = 3) -> None:
    header = DatabaseHeader(bytes(like.raw))
    header.attributes, header.file_type, header.flags = 1, 2, 0
    header.stream_signature = _signature(like, number)
    page = header.sealed()
    path.write_bytes(page + page + b"".join(bytes([i]) * SIZE for i in range(1, pages + 1)))


@pytest.fixture
def folder(shared: Path, tmp_path: Path) -> Path:
    """A clean database that announces a streaming file, and that file."""
    path = tmp_path / "set" / "priv1.edb"
    path.parent.mkdir()
    source = unpack_vector("crash-p4096-ckpt") / "recovered" / "test.edb"
    data = bytearray(source.read_bytes())
    header = DatabaseHeader(bytes(data[:SIZE]))
    header.flags |= 0x04
    header.stream_signature = _signature(header, _OURS)
    data[:SIZE] = data[SIZE : 2 * SIZE] = header.sealed()
    path.write_bytes(data)
    _write_stream(path.with_suffix(".stm"), header, _OURS)
    return path.parent


def _header(folder: Path) -> DatabaseHeader:
    return DatabaseHeader((folder / "priv1.edb").read_bytes()[:SIZE])


def _problem(folder: Path) -> str:
    pair = find_pair(ENV, str(folder / "priv1.edb"), _header(folder))
    assert pair is not None
    return pair.problem


def _findings(path: Path) -> list[Finding]:
    reporter = Reporter()
    scan_file(ENV, str(path), reporter)
    return reporter.findings


def test_it_is_told_by_its_content(folder: Path) -> None:
    shutil.copy(folder / "priv1.stm", folder / "anything")
    assert identify(ENV, str(folder / "anything")) == FileKind.STREAMING
    with StreamFile.open(ENV, str(folder / "anything")) as stream:
        assert (stream.page_count, stream.rest) == (3, 0)
        assert stream.read_page(2) == b"\2" * SIZE
    with pytest.raises(NotEseFile):
        StreamFile.open(ENV, str(folder / "priv1.edb"))


def test_a_pair_that_fits(folder: Path) -> None:
    assert not _problem(folder)
    (folder / "priv1.stm").rename(folder / "OTHER.STM")
    assert not _problem(folder)
    assert not [f for f in _findings(folder / "priv1.edb") if f.rule == "streaming-file"]


def test_a_pair_that_does_not(folder: Path) -> None:
    _write_stream(folder / "priv1.stm", _header(folder), _FOREIGN)
    assert "signSLV" in _problem(folder)
    (folder / "priv1.stm").write_bytes(b"nothing" * 9999)
    assert "cannot be used" in _problem(folder)
    (folder / "priv1.stm").unlink()
    assert "copy both" in _problem(folder)
    found = [f for f in _findings(folder / "priv1.edb") if f.rule == "streaming-file"]
    assert [(f.severity, int(f.jet or 0)) for f in found] == [(Severity.WARNING, -540)]
    reporter = Reporter()
    check_database(ENV, str(folder / "priv1.edb"), reporter)
    assert [(f.rule, int(f.jet or 0)) for f in reporter.findings if f.rule == "H10"] == [
        ("H10", -540)
    ]


def test_a_database_without_one_needs_none(shared: Path) -> None:
    path = unpack_vector("crash-p4096-ckpt") / "recovered" / "test.edb"
    header = DatabaseHeader(path.read_bytes()[:SIZE])
    assert find_pair(ENV, str(path), header) is None


def test_verify_says_where_checking_ends(folder: Path) -> None:
    path = folder / "priv1.stm"
    (note,) = _findings(path)
    assert note.severity == Severity.NOTE
    assert "3 data pages were not verified" in note.message
    data = bytearray(path.read_bytes())
    data[SIZE + 100] ^= 1
    path.write_bytes(data + bytes(100))
    assert {f.rule for f in _findings(path)} == {"header-checksum", "file-size", "not-verified"}
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(HeaderDamaged):
        scan_file(ENV, str(path), Reporter())


def test_verify_looks_for_the_database(folder: Path) -> None:
    (folder / "priv1.edb").rename(folder.parent / "priv1.edb")
    assert "not here" in next(f for f in _findings(folder / "priv1.stm") if f.jet).message
    (folder.parent / "priv1.edb").rename(folder / "priv1.edb")
    _write_stream(folder / "priv1.stm", _header(folder), _FOREIGN)
    assert "signSLV" in next(f for f in _findings(folder / "priv1.stm") if f.jet).message


def test_inspect_and_eseutil_show_it(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", str(folder / "priv1.stm"), str(folder / "priv1.edb"), "--json"])
    assert stopped.value.code == 0
    stream, database = json.loads(capfd.readouterr().out)["files"]
    assert (stream["kind"], stream["pages"], stream["problem"]) == ("streaming file", 3, "")
    assert stream["database"] == database["path"]
    assert database["streaming_file"] == {"path": stream["path"], "problem": ""}
    with pytest.raises(SystemExit) as stopped:
        eseutil(["/mh", str(folder / "priv1.stm")])
    out = capfd.readouterr().out
    assert "File Type: UNKNOWN" in out
    assert "completed successfully" in out


def test_recovery_takes_the_pair_together(folder: Path, tmp_path: Path) -> None:
    before = (folder / "priv1.stm").read_bytes()
    result = hotsplit.recover(folder / "priv1.edb", into=tmp_path / "new")
    assert (tmp_path / "new" / "priv1.stm").read_bytes() == before
    assert not [w for w in result.warnings if w.rule == "streaming-file"]
    _write_stream(folder / "priv1.stm", _header(folder), _FOREIGN)
    verdict = hotsplit.assess(folder / "priv1.edb")
    assert verdict.recoverable
    assert any("signSLV" in f.message for f in verdict.evidence)
    result = hotsplit.recover(folder / "priv1.edb", into=tmp_path / "other")
    assert [w.rule for w in result.warnings].count("streaming-file") == 1
    assert not (tmp_path / "other" / "priv1.stm").exists()


def test_logs_beside_it_say_what_is_not_read(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for log in (unpack_vector("crash-p4096-ckpt") / "crash").glob("*.log"):
        shutil.copy(log, folder)
    with pytest.raises(SystemExit) as stopped:
        main(["logs", str(folder)])
    assert stopped.value.code == 0
    assert "priv1.stm: what logs hold" in capfd.readouterr().err


def test_columns_that_point_into_it_are_given_as_their_bytes(shared: Path) -> None:
    """Type 13: how its runs are written is not published, so nothing is made of them."""
    path = unpack_vector("crash-p4096-ckpt") / "recovered" / "test.edb"
    with Database.open(ENV, str(path)) as db:
        table = db.table("Var")
        before = list(table.values(["vBin"]))
        place = table.columns.index(table.column("vBin"))
        table.columns[place] = replace(table.columns[place], coltyp=Coltyp.SLV)
        del table._by_name
        assert table.column("vBin").type_name == "SLV"
        assert list(table.values(["vBin"])) == before
        assert any(before)
        assert table.to_arrow(["vBin"]).column(0).to_pylist() == [row[0] for row in before]
