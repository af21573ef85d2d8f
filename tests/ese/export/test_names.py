"""Names of tables and columns that clash with what an export adds, or with each other."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.export.fields import Field, distinct
from hotsplit.ese.export.job import Job, Report
from hotsplit.ese.export.manifest import Plan
from hotsplit.ese.export.view import LABEL_COLUMNS
from hotsplit.ese.export.writers import Format
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.columns import Coltyp, ColumnDef
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.labels import INCLUDABLE

TABLES = ("hotsplit_columns", "sqlite_master", "Plain", "a/b", "~c1")
FORMS: tuple[Format, ...] = ("csv", "jsonl", "parquet", "arrow", "sqlite")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables with names of SQLite's, and columns called like the labels of rows."""
    folder = tmp_path_factory.mktemp("names")
    names = [LABEL_COLUMNS[0].upper(), *LABEL_COLUMNS[1:]]
    with Instance.open(OsEnv(), Settings(str(folder))) as instance:
        made = instance.create_database(str(folder / "names.edb"))
        session = instance.session()
        for table in TABLES:
            columns = [Column(name, Coltyp.LONG) for name in names]
            stored = session.create_table(made, table, columns, [])
            stored.insert(dict.fromkeys(names, TABLES.index(table)))
    return folder / "names.edb"


def export(database: Path, target: Path, form: Format, **plan: Any) -> Report:
    opener = partial(Database.open, OsEnv(), str(database))
    with opener() as db:
        return Job(OsEnv(), db, str(target), Plan(form, **plan)).run()


def _rows(path: Path, table: str) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix in (".parquet", ".arrow"):
        pytest.importorskip("pyarrow")
        from pyarrow import feather, parquet

        reader = parquet if path.suffix == ".parquet" else feather
        found: list[dict[str, Any]] = reader.read_table(path).to_pylist()
        return found
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(f'SELECT * FROM "{table}"')]


@pytest.mark.parametrize("form", FORMS)
def test_columns_called_like_the_labels_and_the_labels_are_both_there(
    database: Path, tmp_path: Path, form: Format
) -> None:
    target = tmp_path / f"out.{form}"
    report = export(database, target, form, tables=("Plain",), include=INCLUDABLE, profile="none")
    assert not report.failed
    (row,) = _rows(target, "Plain")
    assert [c["name"] for c in report.results[0].columns] == list(row)
    assert row.pop("__state") == "live"
    assert row.pop("__confidence") == "certain"
    assert [str(row[name]) for name in ("_STATE", *LABEL_COLUMNS[1:])] == ["2"] * 5


def test_sqlite_takes_tables_whatever_they_are_called(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.sqlite"
    report = export(database, target, "sqlite", profile="none")
    assert not report.failed
    names = {result.table: result.title for result in report.results}
    assert names == {
        **{table: table for table in TABLES},
        "hotsplit_columns": "_hotsplit_columns",
        "sqlite_master": "_sqlite_master",
    }
    for number, table in enumerate(TABLES):
        assert {tuple(row.values()) for row in _rows(target, names[table])} == {(number,) * 5}
    described = {row["table"] for row in _rows(target, "hotsplit_columns")}
    assert described == set(names.values())


def test_tables_whose_titles_differ_in_case_only(database: Path, tmp_path: Path) -> None:
    profile = tmp_path / "twice.toml"
    profile.write_text(
        'name = "twice"\nmatch.tables = ["Plain"]\n'
        '[tables.Plain]\ntitle = "rows"\n[tables."a/b"]\ntitle = "ROWS"\n'
    )
    target = tmp_path / "out.sqlite"
    plan = {"tables": ("Plain", "a/b"), "profile": str(profile)}
    report = export(database, target, "sqlite", **plan)
    assert [result.title for result in report.results] == ["rows", "ROWS~2"]
    assert _rows(target, "rows")[0]["_page"] == 2
    assert _rows(target, "ROWS~2")[0]["_page"] == 3
    described = [row["table"] for row in _rows(target, "hotsplit_columns")]
    assert described == ["rows"] * 5 + ["ROWS~2"] * 5


def test_columns_that_differ_in_case_only_all_get_a_name() -> None:
    columns = [ColumnDef(name, 1 + i, Coltyp.LONG) for i, name in enumerate(("ab", "AB", "Ab"))]
    names = [field.name for field in distinct([Field(c.name, c) for c in columns])]
    assert names == ["ab", "AB (AB)", "Ab (Ab) 2"]
