"""No file, however damaged or made up, does more to the tools than end them with an error."""

from __future__ import annotations

import shutil
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotsplit.classic.logrecords import Detail, record_text
from hotsplit.classic.pagereferences import PageReferences
from hotsplit.errors import Jet, LogDamaged
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.checksum import stamp
from hotsplit.ese.format.logrecord import decode, encode
from hotsplit.ese.format.page import Page
from hotsplit.ese.format.recordtable import TABLE, Row
from hotsplit.ese.format.space import SpaceHeader
from hotsplit.ese.read.database import Database
from tests.classic.tool import Ran, run_esefile, run_eseutil
from tests.conftest import unpack_vector

QUICK = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
RESULTS = {0, *map(int, Jet)}


@st.composite
def records(draw: st.DrawFn, row: Row) -> bytes:
    """A record of one type with fields and parts of any content, whose lengths fit."""
    fields = dict(field.split(":") for field in row.fields.split())
    parts = row.parts.split()
    head = bytearray(draw(st.binary(min_size=row.size, max_size=row.size)))
    head[0] = row.type
    plain = decode(encode(row.type, **dict.fromkeys(parts, b"")))
    given = {part: draw(st.binary(max_size=80)) for part in parts}
    if row.type.name == "CREATE_DB":
        given["version"] = b""
    try:
        lengths = decode(encode(row.type, **given))
    except ValueError:
        return plain.raw
    raw = bytearray(lengths.raw)
    at = 1
    for name, kind in fields.items():
        width = int(kind[1:]) // 8 if kind[1:].isdecimal() and kind[0] in "ui" else 0
        width = width or {"lgpos": 8, "logtime": 8, "sig": 28, "dbms": 567, "raw32": 32}[kind]
        if not name.endswith("_size") and (row.type.name, name) != ("CREATE_DB", "flags"):
            raw[at : at + width] = head[at : at + width]
        at += width
    return bytes(raw)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.type.name)
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_records_of_any_content(row: Row, data: st.DataObject) -> None:
    record = decode(data.draw(records(row)))
    pages = PageReferences()
    for detail in (Detail.STRUCTURE, Detail.DATA):
        try:
            text = record_text(record, detail)
        except LogDamaged:
            continue
        assert text.startswith(record.tag)
    try:
        pages.add(record)
    except LogDamaged:
        return
    assert len(list(pages.table(4096))) >= 5


def ended(ran: Ran) -> bool:
    """True if a tool ended as it should: with success or an error of the engine."""
    closing = [line for line in ran.out if line.startswith(("Operation ", "esefile "))]
    return ran.result in RESULTS and len(closing) == 1


@QUICK
@given(
    name=st.sampled_from(["test.edb", "E00.log", "E0000000006.log", "E00.chk", "test.jfm"]),
    edits=st.lists(st.tuples(st.integers(0, 1 << 17), st.binary(min_size=1, max_size=64))),
    size=st.one_of(st.none(), st.integers(0, 1 << 16)),
)
def test_damaged_files(
    shared: Path,
    tmp_path: Path,
    name: str,
    edits: list[tuple[int, bytes]],
    size: int | None,
) -> None:
    data = bytearray((unpack_vector("crash-p4096-mid") / "crash" / name).read_bytes())[: 1 << 18]
    for at, content in edits:
        data[at : at + len(content)] = content
    path = tmp_path / name
    path.write_bytes(data if size is None else data[:size])
    for mode in ("/mh", "/mk", "/mm", "/ms", "/k", "/g"):
        assert ended(run_eseutil(mode, path)), mode
    assert ended(run_eseutil("/ml", path, "/v"))
    assert ended(run_eseutil("/m", path, "/p4", "/v"))
    assert ended(run_eseutil("/mp", path))
    assert ended(run_eseutil("/mp", path, "/p0", "/v"))
    assert ended(run_eseutil("/m", path, "/n4:2"))
    assert ended(run_eseutil("/ml", path, "/x"))
    assert ended(run_esefile("/s", path))


@QUICK
@given(
    pgno=st.integers(1, 60),
    edits=st.lists(st.tuples(st.integers(8, 4090), st.binary(min_size=1, max_size=6)), min_size=1),
)
def test_pages_with_a_good_checksum_and_any_content(
    shared: Path, tmp_path: Path, pgno: int, edits: list[tuple[int, bytes]]
) -> None:
    data = bytearray((unpack_vector("crash-p4096-mid") / "recovered" / "test.edb").read_bytes())
    page = data[(pgno + 1) * 4096 : (pgno + 2) * 4096]
    for at, content in edits:
        page[at : at + len(content)] = content
    page = page[:4096]
    stamp(page, pgno)
    data[(pgno + 1) * 4096 : (pgno + 2) * 4096] = page
    path = tmp_path / "test.edb"
    path.write_bytes(data)
    for mode in ("/mm", "/ms", "/g"):
        assert ended(run_eseutil(mode, path)), mode
    assert ended(run_eseutil("/m", path, f"/p{pgno}", "/v"))
    for letter in "ni":
        assert ended(run_eseutil("/m", path, f"/{letter}{pgno}:1"))
    assert ended(run_esefile("/x", path, str(pgno)))


def test_a_tree_that_says_that_it_has_all_pages_there_are(shared: Path, tmp_path: Path) -> None:
    source = unpack_vector("crash-p4096-mid") / "recovered" / "test.edb"
    data = bytearray(source.read_bytes())
    with Database.open(OsEnv(), str(source)) as db:
        roots = [table.definition.root for table in db]
        pages = [Page(db.source.read_page(root), root) for root in roots]
    page = next(page for page in pages if not SpaceHeader.unpack(page.external).is_multiple)
    header = page.external
    changed = SpaceHeader.unpack(header)._replace(pages=0xFFFFFFFF).pack()
    block = bytearray(page.data).replace(header, changed)
    stamp(block, page.number)
    data[(page.number + 1) * 4096 : (page.number + 2) * 4096] = block
    path = tmp_path / "test.edb"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        assert ended(run_eseutil("/ms", path))
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


@settings(parent=QUICK, max_examples=10)
@given(
    name=st.sampled_from(["test.edb", "E00.log", "E0000000006.log", "E00.chk"]),
    at=st.integers(0, 1 << 17),
    content=st.binary(min_size=1, max_size=64),
)
def test_backups_of_damaged_groups(
    shared: Path, tmp_path_factory: pytest.TempPathFactory, name: str, at: int, content: bytes
) -> None:
    """They end with an error and no folder, or with a backup."""
    folder = tmp_path_factory.mktemp("group")
    for path in (unpack_vector("crash-p4096-mid") / "crash").iterdir():
        shutil.copy(path, folder)
    data = bytearray((folder / name).read_bytes())
    data[at : at + len(content)] = content
    (folder / name).write_bytes(data)
    ran = run_eseutil("/b", folder / "kept", f"-l{folder}")
    assert ended(ran)
    assert (folder / "kept").exists() == (ran.result == 0)
