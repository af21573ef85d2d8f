"""What hotsplit recovers, read by two independent readers: they see the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyesedb
import pytest
from dissect.database.ese import ESE

from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.columns import encode_value
from hotsplit.ese.format.page import NodeFlag, Page, PageFlag
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.recover import recover
from tests.conftest import set_names, unpack_vector

_NO_ROWS = PageFlag.SPACE_TREE | PageFlag.EMPTY | PageFlag.INDEX | PageFlag.LONG_VALUE
SIMPLE = ("Var", "Auto64")  # tables whose values libesedb knows and hands out as they are stored


def flagged_deleted(file: DatabaseFile, objid: int) -> int:
    """Nodes of a table's leaves that are flagged as deleted: rows that are gone."""
    found = 0
    for pgno in range(1, file.page_count + 1):
        page = Page(file.read_raw(pgno), pgno)
        wanted = page.tag_count and page.objid == objid and page.is_leaf
        if wanted and not page.flags & _NO_ROWS:
            found += sum(bool(n.flags & NodeFlag.DELETED) for n in page.nodes())
    return found


@pytest.mark.parametrize("name", set_names("crash"))
def test_both_readers_see_our_rows(name: str, tmp_path: Path) -> None:
    source = unpack_vector(name) / "crash"
    path = recover(OsEnv(), [str(source)], [], str(tmp_path / "out")).databases[0][0]
    library = pyesedb.file()
    library.open(path)
    tables = {t.name: t for t in map(library.get_table, range(library.get_number_of_tables()))}
    pages = DatabaseFile.open(OsEnv(), path)
    with Path(path).open("rb") as file, pages, Database.open(OsEnv(), path) as db:
        other = ESE(file)
        for table in db:
            ours = table.count()
            assert tables[table.name].get_number_of_records() == ours, table.name
            # dissect shows rows that are flagged as deleted, too.
            theirs = sum(1 for _ in other.table(table.name).records())
            assert theirs == ours + flagged_deleted(pages, table.definition.objid), table.name
        for wanted in SIMPLE:
            compare_values(db, wanted, tables[wanted])


def compare_values(db: Database, name: str, other: Any) -> None:
    """Compare every value that libesedb has in one piece with ours, byte by byte."""
    table = db.table(name)
    columns = {c.name: c for c in table.columns}
    compared = 0
    for number, row in enumerate(table.records()):
        theirs = other.get_record(number)
        values = dict(zip(columns, row.values, strict=True))
        for i in range(theirs.get_number_of_values()):
            column = columns[theirs.get_column_name(i)]
            mine, data = values[column.name], theirs.get_value_data(i)
            if mine is None or isinstance(mine, list) or data is None:
                continue
            assert encode_value(column, mine) == data, (name, number, column.name)
            compared += 1
    assert compared
