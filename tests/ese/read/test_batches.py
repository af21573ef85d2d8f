"""Batches of columns hold what rows hold: on real databases, in any size, in both directions."""

from __future__ import annotations

import itertools
import json
import math
import random
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.grow import grow

from hotsplit import _native
from hotsplit.errors import ObjectNotFound
from hotsplit.ese.export.profiles import load_builtin
from hotsplit.ese.export.view import make_view
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.columns import DateTime
from hotsplit.ese.read.arrow import ArrowField, ArrowForm
from hotsplit.ese.read.batch import Batch
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.sweep import Sweep
from hotsplit.ese.read.table import Table
from tests.batches import record_rows, rows_of
from tests.conftest import SHARED, set_names, unpack_vector
from tests.ese.read.test_corpus import INDEX
from tests.ese.read.test_hostile import Overlay

RECOVERED = [n for n in set_names("crash") if "mid" not in n]


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, list):
        return isinstance(ours, list) and len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(theirs, float) and math.isnan(theirs):
        return isinstance(ours, float) and math.isnan(ours)
    if isinstance(theirs, bytes) and isinstance(ours, str):
        return "\ufffd" in ours  # bytes that are no text
    return bool(ours == theirs) and (ours is None) == (theirs is None)


def differences(batches: Iterator[Batch], rows: Iterator[list[Any]]) -> Iterator[Any]:
    ours = itertools.chain.from_iterable(map(rows_of, batches))
    for number, (mine, theirs) in enumerate(itertools.zip_longest(ours, rows)):
        if mine is None or theirs is None or not same(mine, theirs):
            yield number, mine, theirs


def compare(table: Table, **how: Any) -> None:
    assert next(differences(table.batches(**how), record_rows(table)), None) is None, table.name


@pytest.mark.parametrize("name", RECOVERED)
def test_equal_to_rows_in_databases_of_the_engine(shared: Path, name: str) -> None:
    with Database.open(OsEnv(), str(unpack_vector(name) / "recovered" / "test.edb")) as db:
        for table in map(db.table, db.tables(system=True)):
            compare(table)
            compare(table, size=3)
        assert set(db.reporter.counts) <= {"text"}


@pytest.mark.parametrize("path", [p for p in INDEX if p != "engine/large.edb"])
def test_equal_to_rows_in_windows_databases(corpus: Path, path: str) -> None:
    with Database.open(OsEnv(), str(corpus / path)) as db:
        for name in db.tables():
            table = db.table(name)
            batches, rows = table.batches(size=1000), record_rows(table)
            if path.startswith("ravendb"):
                batches, rows = _until_error(batches), _until_error(rows)
            assert next(differences(batches, rows), None) is None, name


def _until_error(things: Iterator[Any]) -> Iterator[Any]:
    from hotsplit.errors import HotsplitError

    try:
        yield from things
    except HotsplitError:
        return


@pytest.mark.parametrize("name", RECOVERED[:4])
def test_against_key_order(shared: Path, name: str) -> None:
    with Database.open(OsEnv(), str(unpack_vector(name) / "recovered" / "test.edb")) as db:
        for table in db:
            forward = [row for batch in table.batches() for row in rows_of(batch)]
            for size in (2, 65536):
                backward = [
                    row
                    for batch in table.batches(size=size, reverse=True)
                    for row in rows_of(batch)
                ]
                assert same(backward[::-1], forward)


def test_bookmarks_and_places(shared: Path) -> None:
    with Database.open(OsEnv(), str(unpack_vector(RECOVERED[0]) / "recovered" / "test.edb")) as db:
        for table in db:
            records = [row.key for row in table.records([])]
            keys = []
            for batch in table.batches([], size=5, keys=True):
                assert batch.keys is not None
                data, offsets = batch.keys.data, memoryview(batch.keys.offsets or b"").cast("i")
                keys += [data[a:b] for a, b in itertools.pairwise(offsets.tolist())]
                assert len(batch.places) == 8 * batch.rows
            assert keys == records


@pytest.fixture(scope="module")
def large(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database whose long values are far larger than a batch may be."""
    if _native.CHOICE == "python":
        pytest.skip("the reference kernels need minutes for it")
    target = tmp_path_factory.mktemp("grown") / "large.edb"
    grow(unpack_vector("crash-p4096-ckpt") / "recovered" / "test.edb", "Tagged", 12000, target)
    return target


def test_large_long_values_come_in_several_batches(large: Path) -> None:
    with Database.open(OsEnv(), str(large)) as db:
        table = db.table("Tagged")
        sizes = [batch.rows for batch in table.batches()]
        assert sum(sizes) == 12000
        assert len(sizes) > 1
        assert min(sizes[:-1]) > 100
        first = [next(rows_of(batch))[0] for batch in table.batches(["id", "tCmpBin"])]
        assert first[0] == 1
        assert first == sorted(first)
        compare(table)


def test_few_rows_are_read_twice(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that was cut for its long values tells how many rows the next ones can have."""
    forgotten: list[int] = []
    go_back = Sweep.go_back

    def count(self: Sweep, row: int) -> None:
        forgotten.append(self._builder.rows - row)
        go_back(self, row)

    monkeypatch.setattr(Sweep, "go_back", count)
    monkeypatch.setattr("hotsplit.ese.read.batches._VALUE_BYTES", 1 << 20)
    with Database.open(OsEnv(), str(large)) as db:
        rows = sum(batch.rows for batch in db.table("Tagged").batches())
    assert len(forgotten) > 1
    assert sum(forgotten[1:]) < rows


def test_long_values_come_in_pieces(large: Path) -> None:
    with Database.open(OsEnv(), str(large)) as db:
        table = db.table("Tagged")
        seen = 0
        for row in itertools.islice(table.records(["tCmpBin", "tBit", "id"]), 60):
            pieces = list(table.stream(row.key, "tCmpBin"))
            value = row.values[0]
            first = value[0] if isinstance(value, list) else value
            assert b"".join(pieces) == (first or b"")
            assert all(len(piece) <= 4096 for piece in pieces)
            assert b"".join(table.stream(row.key, "id")) == row.values[2].to_bytes(4, "little")  # type: ignore[union-attr]
            seen += len(pieces) > 1
        assert seen
        with pytest.raises(ObjectNotFound):
            table.stream(b"\0", "tCmpBin")


def test_memory_stays_bounded(large: Path) -> None:
    with Database.open(OsEnv(), str(large)) as db:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in db.table("Tagged").batches():
            pass
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 150_000  # KB


@pytest.mark.parametrize("name", ["crash-p4096-base", "crash-p8192-w10", "crash-p16384-ckpt"])
def test_damaged_pages_give_the_rows_that_rows_give(shared: Path, name: str) -> None:
    overlay = Overlay(unpack_vector(name) / "recovered" / "test.edb")
    random_ = random.Random(3)
    for _ in range(25):
        overlay.pages.clear()
        overlay.reads = 0
        db = Database(overlay)
        names = db.tables()
        leaves = [leaf.number for n in names for leaf in db.table(n).tree().leaves()]
        for pgno in random_.sample(leaves, 8):
            data = bytearray(overlay.read_page(pgno))
            for _ in range(random_.choice([1, 5])):
                data[random_.randrange(40, len(data))] = random_.randrange(256)
            overlay.pages[pgno] = bytes(data)
        counts = []
        for way in ("batches", "values"):
            db = Database(overlay)
            counts.append([_count(db.table(n), way) for n in names])
        assert counts[0] == counts[1]


def _count(table: Table, way: str) -> int:
    if way == "values":
        return sum(1 for _ in record_rows(table))
    return sum(batch.rows for batch in table.batches(size=4))


def test_arrow_types_and_values(shared: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    folder = unpack_vector("crash-p4096-base")
    expected = json.loads((folder / "expected.json").read_text())
    with Database.open(OsEnv(), str(folder / "recovered" / "test.edb")) as db:
        for wanted in expected["tables"]:
            table = db.table(wanted["name"])
            arrow = table.to_arrow()
            arrow.validate(full=True)
            assert arrow.num_rows == len(wanted["rows"])
            for field, column in zip(arrow.schema, table.columns, strict=True):
                values = [row.get(field.name) for row in wanted["rows"]]
                several = any(isinstance(value, list) for value in values)
                assert pa.types.is_list(field.type) == (several or column.is_multi_valued)
                if column.type_name in ("Long", "LongLong", "Short") and not several:
                    assert arrow.column(field.name).to_pylist() == values


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared reference files")
def test_arrow_of_times(corpus: Path) -> None:
    """OLE dates are without zone, FILETIMEs are UTC."""
    pytest.importorskip("pyarrow")
    with Database.open(OsEnv(), str(corpus / "srum" / "goese-SRUDB.dat")) as db:
        table = db.table("{D10CA2FE-6FCF-4F6D-848E-B2E99266FA89}")
        times = table.to_arrow(["TimeStamp"]).column(0)
        assert str(times.type) == "timestamp[us]"
        ours = [str(v) for row in itertools.islice(table.values(["TimeStamp"]), 20) for v in row]
        shown = [t.isoformat() for t in times.slice(0, 20).to_pylist()]
        assert [o[:19] for o in ours] == [s[:19] for s in shown]
    with Database.open(OsEnv(), str(corpus / "ual" / "hyperv" / "Current.mdb")) as db:
        column = db.table("CLIENTS").to_arrow(["InsertDate"]).column(0)
        assert str(column.type) == "timestamp[ns, tz=UTC]"
        first = next(db.table("CLIENTS").values(["InsertDate"]))[0]
        assert isinstance(first, DateTime)
        assert column.chunk(0)[0].value == (first.bits - 116444736 * 10**9) * 100


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared reference files")
def test_guids_in_lists_are_text_in_arrow(corpus: Path) -> None:
    """pandas cannot take a list of UUIDs; a column with one each is of the Arrow type."""
    pa = pytest.importorskip("pyarrow")
    with Database.open(OsEnv(), str(corpus / "ntds" / "adamntds.dit")) as db:
        table, profile = db.table("datatable"), load_builtin("ntds")
        (field,) = make_view(db, table, profile, columns=["objectGUID"]).fields
        batch = next(table.batches([field.column.name]))
        form = ArrowForm([ArrowField(field.name, field.column, field.meaning)])
        column = form.record_batch(batch).column(0)
        assert column.type == pa.list_(pa.string())
        rows = make_view(db, table, profile, columns=["objectGUID"]).rows()
        wanted = [value and [str(one) for one in value] for (value,) in rows][: batch.rows]
        assert any(wanted)
        assert column.to_pylist() == wanted
    with Database.open(OsEnv(), str(corpus / "ual" / "hyperv" / "Current.mdb")) as db:
        assert db.table("CLIENTS").to_arrow(["RoleGuid"]).schema.types == [pa.uuid()]
