"""Real Windows databases: everything opens, and two independent readers say what is in it."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dissect.database.ese import ESE

from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.columns import ColumnDef, DateTime, Scalar, Value, encode_value
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.table import Table
from tests.conftest import SHARED

EXPECTED = SHARED / "corpus" / "expected"
# The index knows one folder by an older name.
RENAMED = {"ravendb/clean-or-dirty-system/Data": "ravendb/system/Data"}
INDEX: dict[str, str] = (
    {RENAMED.get(k, k): v for k, v in json.loads((EXPECTED / "index.json").read_text()).items()}
    if EXPECTED.is_dir()
    else {}
)
DELETED = "one reader counts flag-deleted nodes as live rows"
TORN = "the file was copied while pages were being written; see docs/adjudications.md"
# (database, table): (our rows, rows by dissect, rows by libesedb, why). docs/adjudications.md
ADJUDICATED: dict[tuple[str, str], tuple[int, int | None, int | None, str]] = {
    **{
        (f"srum/win10-19043-clean-{when}/SRUDB.dat", table): counts
        for when in ("before", "after")
        for table, counts in {
            "MSysObjects": (195, 215, 195, DELETED),
            "MSysObjectsShadow": (195, 215, 195, DELETED),
            "MSysObjids": (25, 26, 25, DELETED),
        }.items()
    },
    **{
        (
            f"srum/win11-22000-clean-{when}/SRUDB.dat",
            "{5C8CF1C7-7257-4F13-B223-970EF5939312}",
        ): (224, 249, 224, DELETED)
        for when in ("before", "after")
    },
    ("ravendb/system/Data", "MSysObjects"): (81, 81, 69, TORN),
    ("ravendb/system/Data", "MSysObjectsShadow"): (209, 198, 209, TORN),
    ("ravendb/system/Data", "mapped_results"): (0, 0, None, TORN),
}
NO_SECOND_READER = "ravendb/server-data/Data"
WIDE = ("ntds/ntds.dit", "engine/large.edb")

databases = pytest.mark.parametrize("path", list(INDEX))


@pytest.fixture
def expected(path: str) -> dict[str, Any]:
    readers = json.loads((EXPECTED / f"{INDEX[path]}.json").read_text())
    return {name: result.get("tables", {}) for name, result in readers.items()}


def open_corpus(corpus: Path, path: str) -> Database:
    return Database.open(OsEnv(), str(corpus / path))


@databases
def test_live_rows_as_two_readers_count_them(
    corpus: Path, path: str, expected: dict[str, Any]
) -> None:
    if path == NO_SECOND_READER:
        pytest.skip("one of the two readers cannot open it; see test_torn_catalog")
    with open_corpus(corpus, path) as db:
        names = db.tables(system=True)
        assert set(names) == set(expected["dissect"]) | set(expected["libesedb"])
        for name in names:
            table = db.table(name)
            theirs = [expected[r].get(name, {}).get("records") for r in ("dissect", "libesedb")]
            ours, *listed = ADJUDICATED.get((path, name), (theirs[0], *theirs, ""))[:3]
            assert theirs == listed, f"{name}: the readers' counts changed"
            assert table.count() == ours, name
            assert len(table.columns) in {
                expected[r][name]["columns"] for r in expected if name in expected[r]
            }


@pytest.mark.parametrize("path", sorted({p for p, _ in ADJUDICATED if p.startswith("srum")}))
def test_disputed_rows_are_the_flag_deleted_nodes(corpus: Path, path: str) -> None:
    with open_corpus(corpus, path) as db:
        for (where, name), (live, by_dissect, _, _) in ADJUDICATED.items():
            if where != path:
                continue
            nodes = [node for leaf in db.table(name).tree().leaves() for node in leaf.nodes()]
            assert len(nodes) == by_dissect
            assert sum(not node.is_deleted for node in nodes) == live


def test_torn_catalog(corpus: Path) -> None:
    """Page 14 of the catalog was never written to this copy: the shadow catalog stands in."""
    with open_corpus(corpus, NO_SECOND_READER) as db:
        assert db.is_dirty
        assert {"documents", "files", "indexes_stats"} <= set(db.tables())
        assert db.table("details").count() == 1
        assert "catalog" in db.reporter.counts


@pytest.mark.parametrize("path", [p for p in INDEX if not p.startswith("ravendb")])
def test_values_cell_by_cell(corpus: Path, path: str) -> None:
    """Another reader decodes every cell alike, but for its faults listed in `_same`."""
    with open_corpus(corpus, path) as db, (corpus / path).open("rb") as file:
        if path == "engine/large.edb":
            pytest.skip("the other reader needs minutes for it")
        other = ESE(file)
        for name in db.tables(system=True):
            if (path, name) in ADJUDICATED:
                continue
            records = other.table(name).records()
            for row, record in itertools.islice(_pairs(db.table(name), records), _limit(path)):
                differences = list(_differences(db.table(name).columns, row, record))
                assert differences == [], name


def _limit(path: str) -> int | None:
    return 150 if path in WIDE else 1500


def _pairs(table: Table, records: Iterator[Any]) -> Iterator[tuple[list[Value], Any]]:
    return zip(table.values(), records, strict=True)


def _differences(columns: list[ColumnDef], row: list[Value], record: Any) -> Iterator[Any]:
    for column, value in zip(columns, row, strict=True):
        try:
            other = record.get(column.name, raw=not column.is_tagged)
        except NotImplementedError:
            # It takes a raw chunk of a long value for a compressed one by its first byte.
            assert column.is_long
            continue
        ours = value if isinstance(value, list) else [value]
        theirs = other if isinstance(other, list) else [other]
        if len(ours) != len(theirs) or not all(map(_same, [column] * len(ours), ours, theirs)):
            yield column.name, ours, theirs


def _same(column: ColumnDef, ours: Scalar, theirs: Any) -> bool:
    if ours is None or theirs is None:
        return ours is None and theirs is None
    if isinstance(theirs, memoryview) or (isinstance(theirs, bytes) and not column.is_tagged):
        return encode_value(column, ours) == bytes(theirs)
    if isinstance(ours, DateTime):
        return theirs in (ours.days, ours.bits)
    if isinstance(ours, uuid.UUID):
        return bool(str(theirs).lower() == str(ours))
    if isinstance(ours, str):
        return bool(ours.rstrip("\0") == theirs.rstrip("\0"))  # it strips what ends a C string
    return bool(ours == theirs)


GOLDEN = {
    "SYSTEM_IDENTITY": ("ual/hyperv/SystemIdentity.mdb", "SYSTEM_IDENTITY"),
    "UAL_CLIENTS": ("ual/hyperv/Current.mdb", "CLIENTS"),
}


@pytest.mark.parametrize("golden", GOLDEN)
def test_rows_that_a_third_reader_printed(corpus: Path, golden: str) -> None:
    path, name = GOLDEN[golden]
    lines = (corpus / "ual" / f"{golden}.golden").read_text().splitlines()
    wanted = [json.loads(line) for line in lines]
    with open_corpus(corpus, path) as db:
        rows = list(itertools.islice(db.table(name).rows(), len(wanted)))
    assert len(rows) == len(wanted)
    for row, want in zip(rows, wanted, strict=True):
        assert {k: _golden(row[k], want[k]) for k in want} == want


def _golden(value: Value, want: Any) -> Any:
    """Our value in the way of the third reader, which shows FILETIMEs to the second."""
    if isinstance(value, DateTime):
        moment = dt.datetime(1601, 1, 1) + dt.timedelta(microseconds=value.bits // 10)
        return moment.replace(microsecond=0).isoformat() + "Z"
    if isinstance(value, uuid.UUID):
        return f"{{{value}}}"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str):
        return value.rstrip("\0")
    return want if value is None and not want else value


def test_listing_of_the_windows_api(corpus: Path) -> None:
    """The API's own listing of a database, table by table: every cell that it shows in full."""
    tables = _api_listing((corpus / "engine" / "esentoutput2.txt").read_text("utf-8", "replace"))
    compared = 0
    with open_corpus(corpus, "engine/decompress_test.edb") as db:
        for name in db.tables(system=True):
            wanted = tables.get(name, [])
            if not wanted:
                continue
            rows = list(db.table(name).rows())
            assert len(rows) == len(wanted), name
            for row, want in zip(rows, wanted, strict=True):
                for column, cell in want.items():
                    if column in row and isinstance(row[column], int | str) and cell:
                        shown = row[column]
                        ours = -1 if shown is True else 0 if shown is False else shown
                        assert str(ours).rstrip("\0") == cell, (name, column)
                        compared += 1
    assert compared > 1000


def _api_listing(text: str) -> dict[str, list[dict[str, str]]]:
    tables: dict[str, list[dict[str, str]]] = {}
    rows: list[dict[str, str]] = []
    names: list[str] = []
    for line in text.splitlines():
        if line.startswith("table "):
            rows = tables[line.split(maxsplit=1)[1].strip()] = []
            names = []
        elif line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if names:
                rows.append(dict(zip(names, cells, strict=False)))
            else:
                names = cells
    return tables


def test_table_of_65000_columns(corpus: Path) -> None:
    with open_corpus(corpus, "engine/large.edb") as db:
        name = max(db.tables(), key=lambda n: len(db.table(n).columns))
        table = db.table(name)
        assert len(table.columns) > 60_000
        last = table.columns[-1].name
        assert table.count() == sum(1 for _ in table.rows([last])) > 0
        assert db.reporter.findings == []
