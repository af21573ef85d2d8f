"""Exports read back by other programs hold the rows; broken ones go on, nothing looks finished."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hotsplit.errors import DiskFull, HotsplitError, InvalidUse, TargetExists
from hotsplit.ese.export.files import file_name
from hotsplit.ese.export.job import Job, Report, page_estimate
from hotsplit.ese.export.manifest import Plan
from hotsplit.ese.export.writers import FORMATS, Format
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.catalogschema import CATALOG_ROOT
from hotsplit.ese.format.columns import DateTime
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.labels import INCLUDABLE
from hotsplit.ese.read.remains import PageMap
from tests.conftest import unpack_vector

SETS = ["crash-p4096-ckpt", "crash-p32768-w10"]


@pytest.fixture(scope="module", params=SETS)
def database(request: pytest.FixtureRequest, shared: Path) -> Path:
    return unpack_vector(request.param) / "recovered" / "test.edb"


def job(database: Path, target: Path, form: Format, env: Any = None, **plan: Any) -> Job:
    env = env or OsEnv()
    opener = partial(Database.open, env, str(database))
    return Job(env, opener(), str(target), Plan(form, **plan), opener=opener)


def export(database: Path, target: Path, form: Format, jobs: int = 1, **plan: Any) -> Report:
    return job(database, target, form, **plan).run(jobs)


def everything(database: Path) -> dict[str, tuple[list[str], list[list[Any]]]]:
    with Database.open(OsEnv(), str(database)) as db:
        return {t.name: ([c.name for c in t.columns], list(t.values())) for t in db}


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, DateTime):
        return value.exact()
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if hasattr(value, "bytes_le") else value


def test_json_lines(database: Path, tmp_path: Path) -> None:
    report = export(database, tmp_path / "out", "jsonl", profile="none")
    wanted = everything(database)
    assert {r.table for r in report.results} == set(wanted) - {"Templ"}
    for result in report.results:
        names, rows = wanted[result.table]
        lines = (tmp_path / "out" / result.file).read_text("utf-8").splitlines()
        assert len(lines) == len(rows) == result.rows
        for line, row in zip(lines, rows, strict=True):
            found = json.loads(line)
            assert list(found) == names
            for value, stored in zip(found.values(), row, strict=True):
                assert value == plain(stored) or "hex" in str(value) or "NaN" in str(value)


def test_sqlite(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "all.sqlite"
    report = export(database, target, "sqlite", jobs=2, profile="none")
    wanted = everything(database)
    with sqlite3.connect(target) as db:
        for result in report.results:
            names, rows = wanted[result.table]
            found = db.execute(f'SELECT * FROM "{result.title}"').fetchall()
            assert len(found) == len(rows)
            place = names.index("fLL") if "fLL" in names else 0
            assert [row[place] for row in found] == [_sql(row[place]) for row in rows]
            if "pay" in names:
                place = names.index("pay")
                assert [row[place] for row in found] == [row[place] for row in rows]
        described = db.execute('SELECT "table", name, "column", ese_type FROM hotsplit_columns')
        wanted_rows = [
            (result.title, column["name"], column["column"], column["ese_type"])
            for result in report.results
            for column in result.columns
        ]
        assert sorted(described) == sorted(wanted_rows)
    assert [p.name for p in tmp_path.iterdir()] == ["all.sqlite"]


def _sql(value: Any) -> Any:
    return value if isinstance(value, int | bytes | str | None) else str(value)


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_columns_read_by_another_program(database: Path, tmp_path: Path, form: Format) -> None:
    duckdb = pytest.importorskip("duckdb")
    arrow = pytest.importorskip("pyarrow.feather")
    report = export(database, tmp_path / "out", form, profile="none")
    wanted = everything(database)
    for result in report.results:
        path = tmp_path / "out" / result.file
        names, rows = wanted[result.table]
        if form == "arrow":
            data = arrow.read_table(path)  # noqa: F841 - DuckDB finds it by name
            found = duckdb.sql("SELECT * FROM data").fetchall()
        else:
            found = duckdb.sql(f"SELECT * FROM '{path}'").fetchall()
        assert len(found) == len(rows)
        for place, name in enumerate(names):
            if all(isinstance(row[place], int | bytes | None) for row in rows):
                assert [row[place] for row in found] == [row[place] for row in rows], name


def test_the_same_on_several_cores(database: Path, tmp_path: Path) -> None:
    for folder, jobs in (("one", 1), ("two", 2)):
        export(database, tmp_path / folder, "csv", jobs)
    names = sorted(p.name for p in (tmp_path / "one").glob("*.csv"))
    assert len(names) > 5
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_labels_in_every_format(database: Path, tmp_path: Path) -> None:
    """All formats have the same rows with the same labels."""
    counts = []
    for form in FORMATS:
        target = tmp_path / (f"x.{form}" if form == "sqlite" else form)
        report = export(database, target, form, include=INCLUDABLE, profile="none")
        counts.append([result.rows for result in report.results])
        columns = report.results[0].columns
        assert [c["name"] for c in columns][-5:] == [
            "_state",
            "_page",
            "_node",
            "_why",
            "_confidence",
        ]
    assert all(count == counts[0] for count in counts)
    with sqlite3.connect(tmp_path / "x.sqlite") as db:
        states = {row[0] for row in db.execute('SELECT _state FROM "Counters"')}
    assert "live" in states
    assert len(states) > 1


class Failing(OsEnv):
    """An environment in which writing fails after some bytes of one file."""

    def __init__(self, name: str, after: int) -> None:
        super().__init__()
        self.name, self.after = name, after

    def open(self, path: str, mode: Any) -> Any:
        """Open; the file whose name contains `name` fails."""
        file = super().open(path, mode)
        if mode != "create" or self.name not in path:
            return file
        write: Callable[[Any, int], None] = file.pwrite

        def pwrite(data: Any, offset: int) -> None:
            if offset + len(data) > self.after:
                raise DiskFull("no space", file=path)
            write(data, offset)

        file.pwrite = pwrite  # type: ignore[method-assign]
        return file


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "arrow"])
def test_a_table_that_fails_leaves_no_file_and_the_rest_is_kept(
    database: Path, tmp_path: Path, form: Format
) -> None:
    target = tmp_path / "out"
    report = job(database, target, form, Failing("Wide", 100), profile="none").run()
    assert [r.table for r in report.failed] == ["Wide"]
    assert report.failed[0].error is not None
    assert report.failed[0].error["number"] == -1808
    names = {p.name for p in target.iterdir()}
    assert not any("Wide" in name or name.endswith(".part") for name in names)
    assert json.loads((target / "export.json").read_text())["complete"] is False
    times = {p.name: p.stat().st_mtime_ns for p in target.glob(f"*.{form}")}
    again = export(database, target, form, profile="none")
    assert not again.failed
    assert [r.table for r in again.results if not r.kept] == ["Wide"]
    assert {n: (target / n).stat().st_mtime_ns for n in times} == times
    assert json.loads((target / "export.json").read_text())["complete"] is True


def test_an_export_that_was_killed_goes_on(database: Path, tmp_path: Path) -> None:
    """The manifest knows what is finished; leftovers of what was not are removed."""
    target = tmp_path / "out"

    def stop(_: int) -> None:
        if len(list(target.glob("*.csv"))) >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job(database, target, "csv", profile="none").run(1, stop)
    done = {p.name for p in target.glob("*.csv")}
    (target / "Big.csv.part").write_bytes(b"half")
    report = export(database, target, "csv", profile="none")
    assert {r.file for r in report.results if r.kept} <= done
    assert len([r for r in report.results if r.kept]) >= 2
    assert not list(target.glob("*.part"))
    whole = tmp_path / "whole"
    export(database, whole, "csv", profile="none")
    for path in whole.glob("*.csv"):
        assert path.read_bytes() == (target / path.name).read_bytes()


def test_strange_targets_are_left_alone(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "mine.txt").write_text("mine")
    with pytest.raises(TargetExists):
        export(database, target, "csv")
    assert [p.name for p in target.iterdir()] == ["mine.txt"]
    other = tmp_path / "other"
    export(database, other, "csv")
    with pytest.raises(TargetExists, match="another export"):
        export(database, other, "csv", include=INCLUDABLE)
    file = tmp_path / "x.sqlite"
    file.write_text("mine")
    with pytest.raises(TargetExists):
        export(database, file, "sqlite")
    assert file.read_text() == "mine"


def test_one_table_into_one_file(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "fixed.csv"
    report = export(database, target, "csv", tables=("fixed",), columns=("k", "fLL"))
    lines = target.read_text().splitlines()
    assert lines[0] == '"k","fLL"'
    assert len(lines) == report.results[0].rows + 1
    assert [p.name for p in tmp_path.iterdir()] == ["fixed.csv"]
    with pytest.raises(InvalidUse):
        export(database, tmp_path / "y", "csv", columns=("k",))
    with pytest.raises(HotsplitError):
        export(database, tmp_path / "y", "csv", tables=("nobody",))


def test_a_damaged_table_does_not_stop_the_others(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "test.edb"
    data = bytearray(database.read_bytes())
    with Database.open(OsEnv(), str(database)) as db:
        at = (db.table("Fixed").definition.root + 1) * db.page_size
    data[at + 100 : at + 400] = bytes(300)
    copy.write_bytes(data)
    report = export(copy, tmp_path / "out", "jsonl", jobs=2)
    assert [r.table for r in report.failed] == ["Fixed"]
    assert not (tmp_path / "out" / "Fixed.jsonl").exists()
    assert len(list((tmp_path / "out").glob("*.jsonl"))) == len(report.results) - 1


def test_a_damaged_catalog_is_reported_once_for_all_tables(database: Path, tmp_path: Path) -> None:
    copy, target = tmp_path / "test.edb", tmp_path / "out"
    data = bytearray(database.read_bytes())
    with Database.open(OsEnv(), str(database)) as db:
        at = (CATALOG_ROOT + 1) * db.page_size
    data[at + 100 : at + 400] = bytes(300)
    copy.write_bytes(data)
    report = export(copy, target, "csv", jobs=2)
    assert not report.failed
    assert "catalog" in {finding["rule"] for finding in report.findings}
    assert json.loads((target / "export.json").read_text())["findings"] == report.findings
    assert not any(result.findings for result in report.results)


def test_estimates_are_of_the_right_size(database: Path) -> None:
    with Database.open(OsEnv(), str(database)) as db:
        for table in db:
            leaves = sum(1 for _ in table.tree().leaves())
            if table.definition.long_value_root:
                leaves += sum(1 for _ in table.long_values().tree.leaves())
            assert leaves / 2 <= page_estimate(table) <= 3 * leaves + 2


def test_names_of_files() -> None:
    taken: set[str] = set()
    names = ["a/b", "A/B", "..", "{5C8C}LT", "con\0x", "ü", " ", "x" * 300, ".hidden"]
    found = [file_name(name, taken) for name in names]
    assert found[:4] == ["a%2Fb", "A%2FB~2", "%2E", "{5C8C}LT"]
    assert len({name.casefold() for name in found}) == len(names)
    assert all("/" not in name and "\0" not in name and len(name) <= 210 for name in found)
    assert all(not name.startswith(".") for name in found)


def test_a_table_of_65000_columns(corpus: Path, tmp_path: Path) -> None:
    """Seconds, not minutes; SQLite says that it cannot."""
    path = corpus / "engine" / "large.edb"
    report = export(path, tmp_path / "out", "jsonl")
    assert report.results[0].rows == 16
    assert len(report.results[0].columns) > 60_000
    first = (tmp_path / "out" / report.results[0].file).read_text().splitlines()[0]
    assert len(json.loads(first)) > 60_000
    report = export(path, tmp_path / "x.sqlite", "sqlite")
    assert report.results[0].error is not None
    assert "2000 columns" in report.results[0].error["message"]


def test_the_whole_file_is_searched_once_for_all_tables(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[PageMap] = []
    scan = PageMap._scan

    def count(self: PageMap) -> Any:
        searched.append(self)
        return scan(self)

    monkeypatch.setattr(PageMap, "_scan", count)
    report = export(database, tmp_path / "out", "csv", include=INCLUDABLE)
    assert len(report.results) > 5
    assert len(searched) == 1
