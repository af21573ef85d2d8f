"""Tables of many columns: read some columns at a time, and in several files, they are the same."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hotsplit.errors import InvalidUse
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.export import columnar
from hotsplit.ese.export.files import file_name
from hotsplit.ese.export.job import Job, Report
from hotsplit.ese.export.manifest import Plan
from hotsplit.ese.export.view import make_view
from hotsplit.ese.export.writers import Format
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.columns import Coltyp
from hotsplit.ese.read import arrow, parts
from hotsplit.ese.read.btree import BTree
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.labels import INCLUDABLE
from hotsplit.ese.read.parts import LeafRange
from tests.conftest import unpack_vector
from tests.ese.export.test_job import Failing

pa = pytest.importorskip("pyarrow")
feather = pytest.importorskip("pyarrow.feather")
parquet = pytest.importorskip("pyarrow.parquet")

WIDEST = 3


@pytest.fixture(scope="module")
def database(shared: Path) -> Path:
    return unpack_vector("crash-p32768-w10") / "recovered" / "test.edb"


@pytest.fixture(scope="module")
def leafy(shared: Path) -> Path:
    """A database whose tables have several leaves."""
    return unpack_vector("crash-p4096-ckpt") / "recovered" / "test.edb"


def export(database: Path, target: Path, form: Format, env: Any = None, **plan: Any) -> Report:
    opener = partial(Database.open, env or OsEnv(), str(database))
    with opener() as db:
        return Job(env or OsEnv(), db, str(target), Plan(form, profile="none", **plan)).run()


def _read(folder: Path, file: str) -> Any:
    path = folder / file
    return feather.read_table(path) if path.suffix == ".arrow" else parquet.read_table(path)


def _tables(folder: Path, report: Report) -> dict[str, Any]:
    """Read the tables of an export; columns in several files are put side by side."""
    found = {}
    for result in report.results:
        table = None
        for file in result.files or [result.file]:
            part = _read(folder, file)
            table = part if table is None else table.join(part, "_row").sort_by("_row")
        found[result.table] = table
    return found


def _same(one: Any, other: Any) -> None:
    assert one.num_rows == other.num_rows
    for name in one.column_names:
        assert other.column(name).to_pylist() == one.column(name).to_pylist(), name
        assert other.schema.field(name).type == one.schema.field(name).type


@pytest.mark.parametrize("block", [1 << 23, 1 << 15])
@pytest.mark.parametrize("include", [(), INCLUDABLE])
def test_some_columns_at_a_time(
    leafy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, include: Any, block: int
) -> None:
    """Batches of columns with long values end at other rows than those without."""
    database = leafy
    monkeypatch.setattr(columnar, "_BYTES_A_BLOCK", block)
    whole = _tables(tmp_path / "a", export(database, tmp_path / "a", "arrow", include=include))
    monkeypatch.setattr(columnar, "_COLUMNS_A_PASS", 2)
    monkeypatch.setattr(columnar, "_ROWS_A_GROUP", 40)
    monkeypatch.setattr("hotsplit.ese.read.batches._VALUE_BYTES", 1 << 12)
    monkeypatch.setattr(arrow, "WIDE", 1)  # buffers are packed
    parts = _tables(tmp_path / "b", export(database, tmp_path / "b", "arrow", include=include))
    assert list(whole) == list(parts)
    for name, table in whole.items():
        assert parts[name].column_names == table.column_names
        _same(table, parts[name])


def test_blocks_that_are_out_of_order(
    leafy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was written of them is not used."""
    table = ("Wide",)
    whole = _tables(tmp_path / "a", export(leafy, tmp_path / "a", "arrow", tables=table))
    monkeypatch.setattr(columnar, "_COLUMNS_A_PASS", 2)
    monkeypatch.setattr(columnar, "_BYTES_A_BLOCK", 1 << 12)
    found = columnar._blocks

    def parted(view: Any) -> Any:
        first, second, *others = found(view)
        assert first is not None
        assert second is not None
        return [LeafRange(first.leaves, 0), second, *others]  # as if a link led elsewhere

    monkeypatch.setattr(columnar, "_blocks", parted)
    parts = _tables(tmp_path / "b", export(leafy, tmp_path / "b", "arrow", tables=table))
    _same(whole["Wide"], parts["Wide"])


@pytest.mark.parametrize("differ", [True, False])
def test_blocks_are_small_whatever_a_tree_says(
    leafy: Path, monkeypatch: pytest.MonkeyPatch, differ: bool
) -> None:
    """What is read of a block is kept in memory."""
    monkeypatch.setattr(columnar, "_COLUMNS_A_PASS", 2)
    monkeypatch.setattr(columnar, "_BYTES_A_BLOCK", 1 << 12)
    monkeypatch.setattr(BTree, "page_estimate", lambda _: 1)
    if not differ:
        monkeypatch.setattr(parts, "_are_different", lambda *_: False)
    with Database.open(OsEnv(), str(leafy)) as db:
        blocks = columnar._blocks(make_view(db, db.table("Wide"), None))
    assert (len(blocks) > 2) == differ, blocks
    assert all(len(block.leaves) == 1 for block in blocks if block is not None)


def test_no_row_and_no_column(database: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(columnar, "_COLUMNS_A_PASS", 1)
    report = export(database, tmp_path / "a", "arrow", tables=("MSysObjids",))
    table = _read(tmp_path / "a", report.results[0].file)
    assert table.num_columns == len(report.results[0].columns) > 1


@pytest.mark.parametrize("form", ["parquet", "arrow"])
@pytest.mark.parametrize("include", [(), INCLUDABLE])
def test_columns_in_several_files(
    database: Path, tmp_path: Path, form: Format, include: Any
) -> None:
    names = ("Wide", "Counters")
    whole = export(database, tmp_path / "a", form, tables=names, include=include)
    split = export(
        database, tmp_path / "b", form, tables=names, include=include, columns_per_file=WIDEST
    )
    beside = 1 + (5 if include else 0)
    for one, many in zip(whole.results, split.results, strict=True):
        assert not (tmp_path / "b" / many.file).exists()
        assert many.rows == one.rows
        assert len(many.files) == -(-(len(one.columns) - beside + 1) // WIDEST) > 1
        assert [c["name"] for c in many.columns] == [c["name"] for c in one.columns] + ["_row"]
        assert [c["type"] for c in many.columns] == [c["type"] for c in one.columns] + ["int64"]
        found: list[str] = []
        for file in many.files:
            part = _read(tmp_path / "b", file)
            assert part.column("_row").to_pylist() == list(range(one.rows))
            assert part.num_columns <= WIDEST + beside
            _same(part.drop_columns(["_row"]), _read(tmp_path / "a", one.file))
            found += part.column_names[:-beside]
        assert found == [c["name"] for c in one.columns][: len(found)]
        assert len(found) == len(one.columns) - beside + 1


def test_a_table_with_a_column_named_like_the_number_of_rows(tmp_path: Path) -> None:
    with Instance.open(OsEnv(), Settings(str(tmp_path))) as instance:
        made = instance.create_database(str(tmp_path / "rows.edb"))
        columns = [Column(name, Coltyp.LONG) for name in ("_row", "a", "b")]
        instance.session().create_table(made, "T", columns, []).insert({"_row": 7, "a": 8, "b": 9})
    target = tmp_path / "out"
    report = export(tmp_path / "rows.edb", target, "parquet", tables=("T",), columns_per_file=2)
    (result,) = report.results
    first, second = (_read(target, file).to_pylist() for file in result.files)
    assert first == [{"_row": 7, "a": 8, "__row": 0}]
    assert second == [{"b": 9, "__row": 0}]
    assert [column["name"] for column in result.columns] == ["_row", "a", "b", "__row"]


def test_an_export_in_several_files_goes_on(database: Path, tmp_path: Path) -> None:
    """All files of a table or none; the same number of columns is needed to go on."""
    target, plan = tmp_path / "out", {"tables": ("Wide", "Auto64"), "columns_per_file": WIDEST}
    report = export(database, target, "parquet", Failing("Wide~c2", 100), **plan)
    assert [r.table for r in report.failed] == ["Wide"]
    assert not list(target.glob("Wide*"))
    again = export(database, target, "parquet", **plan)
    assert [(r.table, r.kept) for r in again.results] == [("Wide", False), ("Auto64", True)]
    (target / again.results[0].files[1]).unlink()
    last = export(database, target, "parquet", **plan)
    assert [(r.table, r.kept) for r in last.results] == [("Wide", False), ("Auto64", True)]
    assert json.loads((target / "export.json").read_text())["complete"] is True
    with pytest.raises(Exception, match="another export"):
        export(database, target, "parquet", tables=("Wide",), columns_per_file=WIDEST + 1)


def test_an_export_that_replaces_another_leaves_no_files_of_it(
    database: Path, tmp_path: Path
) -> None:
    """Files of both would pass for one export; what is in no manifest stays."""
    target = tmp_path / "out"
    export(database, target, "parquet", tables=("Wide", "Auto64"), columns_per_file=WIDEST)
    (target / "notes.txt").write_text("mine")
    with Database.open(OsEnv(), str(database)) as db:
        plan = Plan("parquet", ("Wide",), profile="none", columns_per_file=100)
        report = Job(OsEnv(), db, str(target), plan).run(overwrite=True)
    wanted = {*report.results[0].files, "export.json", "notes.txt"}
    assert {path.name for path in target.iterdir()} == wanted


def test_one_table_in_fewer_files_than_before(database: Path, tmp_path: Path) -> None:
    """Where a file is named there is no manifest, and all parts of a table are read together."""
    target = tmp_path / "wide.parquet"
    other = tmp_path / "wide~c99.parquet"
    other.write_text("mine, behind a gap")
    for columns in (WIDEST, 100):
        with Database.open(OsEnv(), str(database)) as db:
            plan = Plan("parquet", ("Wide",), profile="none", columns_per_file=columns)
            (result,) = Job(OsEnv(), db, str(target), plan).run(overwrite=True).results
        assert {path.name for path in tmp_path.glob("wide*")} == {*result.files, other.name}


@pytest.mark.parametrize("tables", [[1], [{}], [{"files": 3, "file": "x"}], [{"file": {}}]])
def test_an_export_replaces_what_is_no_manifest(
    database: Path, tmp_path: Path, tables: list[Any]
) -> None:
    (tmp_path / "export.json").write_text(json.dumps({"tables": tables}))
    (tmp_path / "x").write_text("mine")
    with Database.open(OsEnv(), str(database)) as db:
        plan = Plan("csv", ("Counters",), profile="none")
        assert not Job(OsEnv(), db, str(tmp_path), plan).run(overwrite=True).failed
    assert (tmp_path / "x").exists()


def test_files_of_tables_never_have_names_of_parts() -> None:
    taken: set[str] = set()
    part = columnar._numbered("big.parquet", 1).removesuffix(".parquet")
    assert [file_name(name, taken) for name in (part, "big", "BIG")] == ["big%7Ec1", "big", "BIG~2"]


def test_what_cannot_be_in_several_files(database: Path, tmp_path: Path) -> None:
    for form in ("csv", "jsonl", "sqlite"):
        with pytest.raises(InvalidUse, match="one file"):
            export(database, tmp_path / "x", form, columns_per_file=3)
