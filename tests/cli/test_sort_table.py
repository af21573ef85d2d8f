"""A sort table of Windows given by option, environment variable or call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import hotsplit
from hotsplit.cli import main
from hotsplit.errors import InvalidUse
from hotsplit.ese.format.sorttable import use_sort_table
from tests.conftest import unpack_vector
from tests.ese.format.test_collation import write_table


@pytest.fixture(autouse=True)
def built_in_afterwards() -> Iterator[None]:
    yield
    use_sort_table(None)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "SortDefault.nls"
    path.write_bytes(write_table())
    return path


def _rows(capfd: pytest.CaptureFixture[str], *args: object) -> tuple[list[str], str]:
    database = unpack_vector("crash-p4096-ckpt") / "recovered" / "test.edb"
    with pytest.raises(SystemExit) as stopped:
        main(
            [*map(str, args), "rows", str(database), "Var", "--index", "i_uni_bin", "--limit", "3"]
        )
    assert stopped.value.code == 0
    out, err = capfd.readouterr()
    return [json.loads(line)["k"] for line in out.splitlines()], err


def test_an_index_of_other_weights_is_still_read(
    shared: Path, capfd: pytest.CaptureFixture[str], table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of an index needs no keys; a table of other weights makes a search compare."""
    rows, _ = _rows(capfd)
    assert _rows(capfd, "--sort-table", table)[0] == rows
    monkeypatch.setenv("HOTSPLIT_SORT_TABLE", str(table))
    assert _rows(capfd)[0] == rows
    path = unpack_vector("crash-p4096-ckpt") / "recovered" / "test.edb"
    with hotsplit.open(path) as db:
        texts = [row[0] for row in db.table("Var").values(["vUni"]) if row[0]]
        found = list(db.table("Var").scan(["vUni"], index="i_uni_bin", start=(texts[0],),
                                          stop=(texts[0],)))  # fmt: skip
        assert {"vUni": texts[0]} in found
        assert any("other weights" in f.message for f in db.reporter.findings)


def test_what_is_no_table_is_refused(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"wrong" * 1000)
    with pytest.raises(InvalidUse, match="no sort table"):
        hotsplit.use_sort_table(wrong)
    with pytest.raises(SystemExit) as stopped:
        main(["--sort-table", str(wrong), "inspect", str(wrong)])
    assert stopped.value.code == InvalidUse.exit_status
    assert "SortDefault.nls" in capfd.readouterr().err


def test_rows_are_sought_by_index(shared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    database = unpack_vector("crash-p4096-ckpt") / "recovered" / "test.edb"
    with hotsplit.open(database) as db:
        wanted = list(db.table("Var").values(["k", "vUni"]))
        fixed = list(db.table("Fixed").values(["k", "fGuid", "fDate"]))
    text = next(str(row[1]) for row in wanted if row[1] and not str(row[1]).isascii())
    found = _seek(capfd, database, "Var", "i_uni_bin", text)
    assert [row["k"] for row in found] == [row[0] for row in wanted if row[1] == text]
    guid = next(row for row in fixed if row[1])
    assert guid[0] in [row["k"] for row in _seek(capfd, database, "Fixed", "i_guid", str(guid[1]))]
    number = fixed[3][0]
    assert [row["k"] for row in _seek(capfd, database, "Fixed", "pk", str(number))] == [number]
    labelled = _seek(capfd, database, "Fixed", "pk", str(number), "--include", "deleted")
    assert {row["k"] for row in labelled} == {number}
    with pytest.raises(SystemExit) as stopped:
        main(["rows", str(database), "Fixed", "--index", "pk", "--seek", "soon"])
    assert stopped.value.code == InvalidUse.exit_status


def _seek(
    capfd: pytest.CaptureFixture[str], database: Path, table: str, index: str, *args: str
) -> list[dict[str, object]]:
    key, *more = args
    with pytest.raises(SystemExit) as stopped:
        main(["rows", str(database), table, "--index", index, "--seek", key, *more])
    out, _ = capfd.readouterr()
    assert stopped.value.code == 0
    return [json.loads(line) for line in out.splitlines()]
