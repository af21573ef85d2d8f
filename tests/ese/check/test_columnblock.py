"""Tables of very many columns: what is said of them is the same as of few, column by column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hotsplit.ese.check import columnblock
from hotsplit.ese.check.catalogrows import CatalogRows, TableRows
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.catalogschema import RowType
from hotsplit.ese.format.columns import Coltyp
from hotsplit.ese.format.page import Page
from hotsplit.ese.read.pages import CachedPages
from tests.ese.check.planted import Planter

COUNT = 450
INDEXED = "c310"


def column(number: int) -> Column:
    if number == 301:
        return Column("Größe", Coltyp.LONG_TEXT, code_page=1200)
    if number % 3:
        return Column(f"c{number}", Coltyp.LONG, multi_valued=True)
    return Column(f"C{number}", Coltyp.LONG_BINARY, not_null=number == 303)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a table of hundreds of tagged columns, one of them the key of an index."""
    folder = tmp_path_factory.mktemp("wide")
    with Instance.open(OsEnv(), Settings(str(folder))) as instance:
        database = instance.create_database(str(folder / "wide.edb"))
        columns = [Column("id", Coltyp.LONG), *map(column, range(COUNT))]
        indexes = [Index("pk", ["id"], primary=True), Index("by", [INDEXED])]
        table = instance.session().create_table(database, "Wide", columns, indexes)
        for number in range(20):
            table.insert({"id": number, INDEXED: [number, -number], "C303": b"x"})
    return folder / "wide.edb"


@pytest.fixture
def db(made: Path) -> Planter:
    return Planter(made)


def groups(path: Path) -> dict[str, TableRows]:
    with DatabaseFile.open(OsEnv(), str(path)) as file:
        return {
            group.rows[0].text: group for group in CatalogRows(CachedPages(file), 4, 2).tables()
        }


def test_most_columns_are_in_a_block(made: Path) -> None:
    group = groups(made)["Wide"]
    ids = [fid for block in group.blocks for fid in block.ids]
    assert len(ids) > COUNT / 2
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert len(ids) + len(group.of_type(RowType.COLUMN)) == COUNT + 1
    assert group.last_ids.tagged == 255 + COUNT


def test_the_rows_of_a_block_are_those_of_its_lists(made: Path) -> None:
    with DatabaseFile.open(OsEnv(), str(made)) as file:
        rows = CatalogRows(CachedPages(file), 4, 2)
        group = next(one for one in rows.tables() if one.rows[0].text == "Wide")
        whole = rows.expanded(group)
        assert [row.key for row in whole.rows] == sorted(row.key for row in whole.rows)
        by_id = {row.number("Id"): row for row in whole.of_type(RowType.COLUMN)}
        for block in group.blocks:
            for i, fid in enumerate(block.ids):
                row = by_id[fid]
                assert row.text.casefold() == block.names[i]
                assert row.number("ColtypOrPgnoFDP") == block.types[i]
                assert (row.number("Flags"), row.number("SpaceUsage")) == (
                    block.flags[i],
                    block.sizes[i],
                )
                defined = rows.define(group, fid)
                assert defined is not None and (defined.name, defined.id) == (row.text, fid)
        assert rows.define(group, 1) is None


def test_the_database_is_sound(db: Planter) -> None:
    result = db.check()
    assert not result.reporter.counts
    assert result.totals.index_entries > 39 and not result.totals.not_compared


@pytest.mark.parametrize("child", range(4))
def test_damaged_ways_to_the_leaves_of_the_catalog(db: Planter, child: int) -> None:
    """Links lead to all leaves but the first: all tables behind it are checked nevertheless."""
    for root in (4, 24):
        page = db.page(root)
        page.replace_data(child, (0xFFFFFF).to_bytes(4, "little"), page.node(child).flags)
    result = db.check()
    assert set(result.reporter.counts) == {"T19"} | ({"C38"} if child == 0 else set())
    assert result.totals.tables == (5 if child else 2)


Damage = Callable[[Page, int], None]


def cut(page: Page, i: int) -> None:
    page.delete(i)


def edited(old: bytes, new: bytes) -> Damage:
    def damage(page: Page, i: int) -> None:
        node = page.node(i)
        assert node.data.count(old) == 1
        page.replace_data(i, node.data.replace(old, new), node.flags)

    return damage


def at(offset: int, data: bytes) -> Damage:
    def damage(page: Page, i: int) -> None:
        node = page.node(i)
        record = node.data[:offset] + data + node.data[offset + len(data) :]
        page.replace_data(i, record, node.flags)

    return damage


@pytest.mark.parametrize(
    ("damage", "rules"),
    [
        (edited(b"c310", b"c311"), {"C36", "C39"}),
        (edited(b"c310", b"C400"), {"C36", "C39"}),
        (edited(b"c310", b"id00"), {"C36"}),
        (at(4, (7).to_bytes(4, "little")), {"C36"}),  # of another table
        (at(8, (9).to_bytes(2, "little")), {"C36", "C37"}),  # of no known type
        (at(10, (100).to_bytes(4, "little")), {"C36", "C41"}),
        (at(14, (99).to_bytes(4, "little")), {"C36", "C41"}),
        (at(14, bytes(4)), {"C36", "C42"}),
        (cut, {"C36", "C42"}),
    ],
)
def test_the_same_is_found_row_by_row(
    db: Planter, monkeypatch: pytest.MonkeyPatch, damage: Damage, rules: set[str]
) -> None:
    """Of a column in the middle of a block: as it is, and with all rows taken one by one."""
    for page, i, node in db.nodes(4):
        if node.data.endswith(b"c310") or b"c310" in node.data[-30:]:
            damage(page, i)
            break
    else:
        raise LookupError(INDEXED)
    found = []
    for least in (columnblock._LEAST, 1 << 20):
        monkeypatch.setattr(columnblock, "_LEAST", least)
        result = db.check()
        found.append([(f.rule, f.message, f.position) for f in result.reporter.findings])
    assert found[0] == found[1]
    assert rules <= {rule for rule, *_ in found[0]}
