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
