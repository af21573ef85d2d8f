"""Repair of every single defect that the check knows: the result is sound, other rows are there."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from hotsplit.ese.check.integrity import check_database
from hotsplit.ese.check.rules import RULES
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.catalogschema import KeySegment
from hotsplit.ese.format.columns import Value
from hotsplit.ese.read.database import Database
from hotsplit.ese.rebuild import rowfacts
from hotsplit.ese.rebuild.losses import Repaired
from hotsplit.ese.rebuild.objects import CATALOG, SHADOW
from hotsplit.ese.rebuild.repair import PASSES, repair
from hotsplit.report import Reporter, Severity
from tests.ese.check.defects import DEFECTS
from tests.ese.check.defects.catalog import at
from tests.ese.check.planted import Planter
from tests.ese.rebuild.samples import contents, recovered, rows_on

Rows = dict[str, dict[bytes, bytes]]

STAY = {"R49b", "L58", "X61"}
"""Warnings that a repair does not see to: values of unknown columns, wide ids, other weights."""
OF_A_PAGE = 3
"""Rows on the fullest page that a defect here makes unusable."""


@pytest.fixture(scope="module")
def original() -> Planter:
    return Planter(recovered("crash-p4096-ckpt"))


@pytest.fixture(scope="module")
def rows() -> Rows:
    return rows_on(recovered("crash-p4096-ckpt"), set())


@pytest.fixture
def db(original: Planter) -> Planter:
    return original.copy()


def mend(db: Planter, folder: Path) -> tuple[Repaired, Path]:
    """Repair a database with planted defects; the result has no error."""
    db.seal()
    source, into = folder / "old.edb", folder / "new.edb"
    source.write_bytes(db.data)
    told: list[int] = []
    with DatabaseFile.open(OsEnv(), str(source)) as file:
        result = repair(OsEnv(), file, str(source), str(into), told.append)
        assert sum(told) == PASSES * file.page_count and min(told) > 0
    reporter = Reporter()
    check_database(OsEnv(), str(into), reporter)
    left = {rule for rule in reporter.counts if RULES[rule].severity != Severity.NOTE}
    assert left <= STAY, reporter.findings[:3]
    return result, into


@pytest.mark.parametrize("name", DEFECTS)
def test_one_defect(name: str, db: Planter, rows: Rows, tmp_path: Path) -> None:
    DEFECTS[name][1](db)
    result, into = mend(db, tmp_path)
    found = rows_on(into, set())
    changed = {
        table: sum(found.get(table, {}).get(key) != data for key, data in wanted.items())
        for table, wanted in rows.items()
    }
    changed = {table: count for table, count in changed.items() if count}
    assert sum(changed.values()) <= OF_A_PAGE
    told = {loss.object.removeprefix("table ") for loss in result.trees if loss.lost_rows}
    deleted = {"NoPK"} if name == "record_deleted_under_an_index" else set()
    assert set(changed) <= told | deleted


def without_catalog_rows(db: Planter, table: str, row_type: int) -> None:
    """Take a table's catalog rows of one type out of the catalog and its shadow."""
    _, _, wanted = db.catalog_row(table, row_type)
    for root in (4, 24):
        for leaf in db.leaves(root):
            page = db.page(leaf)
            kept = [node for node in page.nodes() if not node.key.startswith(wanted.key[:8])]
            if len(kept) < page.node_count:
                page.fill(page.external, kept)


def test_a_table_whose_own_row_is_lost(db: Planter, rows: Rows, tmp_path: Path) -> None:
    objid = db.table("LV").definition.objid
    without_catalog_rows(db, "LV", 1)
    result, into = mend(db, tmp_path)
    found = rows_on(into, set())
    assert found[f"Lost{objid}"] == rows["LV"]
    assert all(found[table] == rows[table] for table in rows if table != "LV")
    assert any(f"Lost{objid}" in note for note in result.notes)


@pytest.mark.parametrize("index", ["i_date", "i_guid", "i_u", "i_cond", "pk"])
def test_an_index_whose_flags_are_noise(
    index: str, db: Planter, rows: Rows, tmp_path: Path
) -> None:
    db.change_catalog("Fixed", 3, index, at(22, b"\xff\xff\xff\xff"))
    _, into = mend(db, tmp_path)
    assert rows_on(into, set()) == rows


def test_a_shadow_that_the_header_denies(db: Planter, rows: Rows, tmp_path: Path) -> None:
    """The catalog still describes it, so its rows stay."""
    header = db.header()
    header.flags |= 1
    db.set_header(header)
    _, into = mend(db, tmp_path)
    assert rows_on(into, set()) == rows
    found = contents(into)
    assert len(found[SHADOW.text]) == len(found[CATALOG.text]) > 0


def header_byte_of_the_locale(record: bytes) -> bytes:
    """Change what stands in front of the name of a locale, the last of an index's values."""
    place = record.index(b"e\0n\0-\0") - 1
    return record[:place] + b"\0" + record[place + 1 :]


def length_of_a_null(record: bytes) -> bytes:
    """Let the second variable column, which is null, have bytes."""
    place = int.from_bytes(record[2:4], "little") + 3
    assert record[place] & 0x80
    return record[:place] + b"\xff" + record[place + 1 :]


@pytest.mark.parametrize("edit", [header_byte_of_the_locale, length_of_a_null])
@pytest.mark.parametrize("both", [True, False])
def test_a_catalog_record_of_a_wrong_form(
    both: bool, edit: Callable[[bytes], bytes], db: Planter, rows: Rows, tmp_path: Path
) -> None:
    """It is written anew, and what it defines stays."""
    _, _, wanted = db.catalog_row("Var", 3, "i_uni_bin")
    for root in (4, 24) if both else (4,):
        for page, i, node in db.nodes(root):
            if node.key == wanted.key:
                page.replace_data(i, edit(node.data), node.flags)
    assert db.check().is_damaged
    result, into = mend(db, tmp_path)
    assert rows_on(into, set()) == rows
    assert bool(result.notes) == both
    with Database.open(OsEnv(), str(into)) as new:
        assert "i_uni_bin" in [index.name for index in new.table("Var").indexes]


@pytest.mark.parametrize("place", [4, 22])
@pytest.mark.parametrize("index", ["Id", "Name", "RootObjects"])
def test_an_index_of_the_catalog_that_is_not_defined_any_more(
    index: str, place: int, db: Planter, rows: Rows, tmp_path: Path
) -> None:
    db.change_catalog("MSysObjects", 3, index, at(place, b"\xff\xff\xff\xff"))
    _, into = mend(db, tmp_path)
    assert rows_on(into, set()) == rows
    with Database.open(OsEnv(), str(into)) as new:
        assert {one.name for one in new.table("MSysObjects").indexes} >= {index}


@pytest.mark.parametrize(
    ("table", "column"), [("MSysObjids", "type"), ("MSysObjectsShadow", "LCMapFlags")]
)
def test_a_lost_column_of_the_engines_own_tables(
    table: str, column: str, db: Planter, rows: Rows, tmp_path: Path
) -> None:
    db.change_catalog(table, 2, column, at(4, b"\x77"))
    _, into = mend(db, tmp_path)
    assert rows_on(into, set()) == rows
    with Database.open(OsEnv(), str(into)) as new:
        assert column in [one.name for one in new.table(table).columns]


@pytest.mark.parametrize("root", [4, 24])
@pytest.mark.parametrize("place", [4, 6, 8])
def test_a_row_that_one_of_the_catalogs_still_has_right(
    root: int, place: int, db: Planter, rows: Rows, tmp_path: Path
) -> None:
    """That of a table: in one of the two its columns do not make its key any more."""
    _, _, wanted = db.catalog_row("LV", 1)
    for page, i, node in db.nodes(root):
        if node.key == wanted.key:
            page.replace_data(i, at(place, b"\x52\x7b")(node.data), node.flags)
    result, into = mend(db, tmp_path)
    assert rows_on(into, set()) == rows
    assert not result.lost_anything


def test_long_values_whose_row_is_lost(db: Planter, rows: Rows, tmp_path: Path) -> None:
    without_catalog_rows(db, "LV", 4)
    _, into = mend(db, tmp_path)
    assert rows_on(into, set()) == rows
    with (
        Database.open(OsEnv(), str(into)) as new,
        Database.open(OsEnv(), str(recovered("crash-p4096-ckpt"))) as old,
    ):
        read = [[row.values for row in db.table("LV").records()] for db in (old, new)]
        assert read[0] == read[1]


def test_a_sound_index_names_the_rows_that_are_lost(db: Planter, tmp_path: Path) -> None:
    leaf = db.leaves(db.table("LV").definition.root)[3]
    gone = [node.key for node in db.page(leaf).nodes() if not node.is_deleted]
    db._touched.clear()
    db.data[(leaf + 1) * db.size : (leaf + 2) * db.size] = bytes(db.size)
    result, _ = mend(db, tmp_path)
    loss = next(one for one in result.trees if one.object == "table LV")
    assert loss.lost_keys == gone


@pytest.mark.parametrize(("wrong", "right"), [(0, 2), (2, 0), (1, 2), (3, 1)])
def test_a_pointer_to_another_leaf_loses_none(
    wrong: int, right: int, db: Planter, rows: Rows, tmp_path: Path
) -> None:
    """As in an upper page of an earlier time: one leaf is led to twice, one not at all."""
    root = db.page(db.table("LV").definition.root)
    node = root.node(wrong)
    root.replace_data(wrong, root.node(right).data, node.flags)
    result, into = mend(db, tmp_path)
    assert rows_on(into, set()) == rows
    assert not result.lost_anything


def values_but(path: Path, table: str, *columns: str) -> list[list[Value]]:
    with Database.open(OsEnv(), str(path)) as opened:
        found = opened.table(table)
        return list(found.values([c.name for c in found.columns if c.name not in columns]))


BINARY = (9).to_bytes(4, "little")


@pytest.mark.parametrize("coltyp", [1, 2, 5, 8, 11, 16, 18])
def test_a_fixed_column_of_another_type_takes_no_other_one_along(
    coltyp: int, db: Planter, tmp_path: Path
) -> None:
    """All behind it would be read at wrong places; it is given up."""
    before = values_but(recovered("crash-p4096-ckpt"), "Wide", "F003")
    db.change_catalog("Wide", 2, "F003", at(14, coltyp.to_bytes(4, "little")))
    result, into = mend(db, tmp_path)
    assert any("F003" in note and "given up" in note for note in result.notes)
    assert values_but(into, "Wide", "F003") == before


@pytest.mark.parametrize("size", [0, 3, 255, 40_000, 0x7FFF_FFFF, 0x8000_0000])
def test_a_fixed_column_of_bytes_is_as_large_as_its_place(
    size: int, db: Planter, tmp_path: Path
) -> None:
    before = values_but(recovered("crash-p4096-ckpt"), "Wide", "F003")
    db.change_catalog("Wide", 2, "F003", at(14, BINARY))
    db.change_catalog("Wide", 2, "F003", at(18, size.to_bytes(4, "little")))
    _, into = mend(db, tmp_path)
    assert values_but(into, "Wide", "F003") == before
    with Database.open(OsEnv(), str(into)) as opened:
        sizes = {column.name: column.size for column in opened.table("Wide").columns}
    assert sizes["F003"] == 4


@pytest.mark.parametrize("offset", [-5, 2, 30_000, 32_766])
@pytest.mark.parametrize("behind", ["a deleted one", "another"])
def test_a_fixed_column_in_an_impossible_place(
    offset: int, behind: str, db: Planter, tmp_path: Path
) -> None:
    """It goes back to its place; where that is not known it is given up."""
    if behind == "a deleted one":
        db.change_catalog("Wide", 2, "F003", at(14, bytes(4)))
    db.change_catalog("Wide", 2, "F004", at(31, offset.to_bytes(2, "little", signed=True)))
    result, into = mend(db, tmp_path)
    assert result.notes
    names = ["F003", "F004"] if behind == "a deleted one" else []
    before = values_but(recovered("crash-p4096-ckpt"), "Wide", *names)
    assert values_but(into, "Wide", *names) == before


@pytest.mark.parametrize("table", ["MSysObjids", "MSysLocales"])
@pytest.mark.parametrize("coltyp", [8, 9, 10, 16])
def test_columns_of_the_engines_own_lists_of_another_type(
    table: str, coltyp: int, db: Planter, tmp_path: Path
) -> None:
    """They are written as they are; nothing of the rest of the database is the worse for it."""
    names = [column.name for column in db.table(table).columns]
    for name in names:
        other = db.copy()
        other.change_catalog(table, 2, name, at(14, coltyp.to_bytes(4, "little")))
        assert other.check().totals.tables
        other.seal()
        source, into = tmp_path / f"{name}.edb", tmp_path / f"{name} mended.edb"
        source.write_bytes(other.data)
        with DatabaseFile.open(OsEnv(), str(source)) as file:
            repair(OsEnv(), file, str(source), str(into))
        assert rows_on(into, set())["Wide"] == rows_on(recovered("crash-p4096-ckpt"), set())["Wide"]


@pytest.mark.parametrize(
    ("table", "index", "old"), [("Derived", "i_d", 0x81), ("Fixed", "i_date", 9)]
)
def test_an_index_of_a_column_that_no_template_gives_is_left_out(
    table: str, index: str, old: int, db: Planter, tmp_path: Path
) -> None:
    wrong = struct.pack("<HH", KeySegment.TEMPLATE, 0x8F)

    def edit(record: bytes) -> bytes:
        assert struct.pack("<HH", 0, old) in record
        return wrong.join(record.rsplit(struct.pack("<HH", 0, old), 1))

    db.change_catalog(table, 3, index, edit)
    result, _ = mend(db, tmp_path)
    assert result.left_out == [f"index {index} of table {table}"]


UNICODE = (("Var", "i_uni_bin"), ("Tagged", "i_mtext"), ("Tagged", "i_cmp"))


def zero(db: Planter, pgno: int) -> None:
    db.seal()
    db._touched.clear()
    db.data[(pgno + 1) * db.size : (pgno + 2) * db.size] = bytes(db.size)


def test_indexes_of_unicode_text_are_made_anew(db: Planter, tmp_path: Path) -> None:
    for table, index in UNICODE:
        zero(db, db.leaves(db.table(table).index(index).root)[0])
    result, into = mend(db, tmp_path)
    assert not result.left_out
    assert {loss.action for loss in result.trees} == {"made anew from the rows"}
    before, after = contents(recovered("crash-p4096-ckpt")), contents(into)
    for table, index in UNICODE:
        name = f"index {index} of table {table}"
        assert after[name] == before[name]


def test_an_index_is_made_anew_of_many_sorted_runs(
    db: Planter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the tuple index, that has the most entries; the file of the runs is gone at the end."""
    monkeypatch.setattr(rowfacts, "RUN_BYTES", 500)
    index = next(one for one in db.table("Tagged").definition.indexes if one.tuple_limits)
    zero(db, db.leaves(index.root)[0])
    result, into = mend(db, tmp_path)
    assert not result.left_out
    name = f"index {index.name} of table Tagged"
    before, after = contents(recovered("crash-p4096-ckpt")), contents(into)
    assert after[name] == before[name] and len(after[name]) > 100
    assert {path.name for path in tmp_path.iterdir()} == {"old.edb", "new.edb"}


def test_an_index_of_an_order_that_is_not_known_is_left_out(db: Planter, tmp_path: Path) -> None:
    """By its flags in the catalog: those of a digit's value are not known here."""
    old, new = (struct.pack("<I", flags) for flags in (0x30401, 0x30409))
    db.change_catalog("Var", 3, "i_uni_bin", lambda record: record.replace(old, new))
    zero(db, db.leaves(db.table("Var").index("i_uni_bin").root)[0])
    result, _ = mend(db, tmp_path)
    assert result.left_out == ["index i_uni_bin of table Var"]


def test_an_index_of_which_some_keys_are_not_known_is_left_out(db: Planter, tmp_path: Path) -> None:
    """A row has a character that has no weight here."""
    old, new = ("Romeo tango kilo Foxtrot golf e-mail", "Romeo tango kilo Foxtrot golf e-mai\uabcd")
    for page, i, node in db.nodes(db.table("Var").definition.root):
        text = node.data.replace(old.encode("utf-16-le"), new.encode("utf-16-le"))
        if text != node.data:
            page.replace_data(i, text, node.flags)
    zero(db, db.leaves(db.table("Var").index("i_uni_bin").root)[0])
    result, _ = mend(db, tmp_path)
    assert result.left_out == ["index i_uni_bin of table Var"]


def test_an_index_sorted_by_other_weights_is_not_made_anew(db: Planter, tmp_path: Path) -> None:
    """Its table has lost a row: the entry goes, the others stay as they are."""
    DEFECTS["table_sorted_by_other_weights"][1](db)
    DEFECTS["index_sorted_by_other_weights"][1](db)
    DEFECTS["last_fixed_column_unknown"][1](db)
    page, i, node = next(db.nodes(db.table("Var").definition.root))
    page.replace_data(i, bytes([100]) + node.data[1:], node.flags)
    result, into = mend(db, tmp_path)
    assert not result.left_out
    before, after = contents(recovered("crash-p4096-ckpt")), contents(into)
    name = "index i_uni_bin of table Var"
    assert after[name] == [entry for entry in before[name] if entry.data != node.key]
    assert len(after["table Var"]) == len(before["table Var"]) - 1


@pytest.mark.parametrize(
    "name", ["chunk_that_looks_compressed", "long_value_shorter_than_its_chunks"]
)
def test_chunks_that_the_check_could_not_reach_are_looked_at(
    name: str, db: Planter, tmp_path: Path
) -> None:
    """The root page of their tree is gone, so nothing was said of them."""
    DEFECTS[name][1](db)
    zero(db, db.table("LV").definition.long_value_root)
    result, _ = mend(db, tmp_path)
    assert result.values


def test_a_mended_record_keeps_its_other_columns(db: Planter, tmp_path: Path) -> None:
    DEFECTS["compressed_value_damaged"][1](db)
    result, into = mend(db, tmp_path)
    loss = next(one for one in result.trees if one.object == "table Tagged")
    (record,) = loss.mended
    assert len(record.columns) == 1
    with (
        Database.open(OsEnv(), str(into)) as new,
        Database.open(OsEnv(), str(recovered("crash-p4096-ckpt"))) as old,
    ):
        names = [column.name for column in new.table("Tagged").columns]
        before, after = ({row.key: row.values for row in db.table("Tagged").records()}
                         for db in (old, new))  # fmt: skip
    differing = {
        (key, name)
        for key, values in before.items()
        for name, one, two in zip(names, values, after[key], strict=True)
        if one != two
    }
    assert differing == {(record.key, record.columns[0])}


def test_everything_at_once(db: Planter, rows: Rows, tmp_path: Path) -> None:
    """Defects of different tables do not stand in each other's way."""
    for name in ("mandatory_column_null", "index_entry_missing", "too_few_references",
                 "autoincrement_mark_too_low", "two_columns_of_one_name"):  # fmt: skip
        DEFECTS[name][1](db)
    _, into = mend(db, tmp_path)
    assert {name: len(found) for name, found in rows_on(into, set()).items()} == {
        name: len(found) for name, found in rows.items()
    }
