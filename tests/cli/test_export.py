"""The export command as a user gives it: output, exit status, going on, several cores."""

from __future__ import annotations

import csv
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from hotsplit.cli import main
from hotsplit.errors import ObjectNotFound
from tests.conftest import unpack_vector


def run(capfd: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    sys.stdout.flush()
    out, err = capfd.readouterr()
    status = stop.value.code
    return status if isinstance(status, int) else 1, out, err


@pytest.fixture
def database(shared: Path) -> Path:
    return unpack_vector("crash-p4096-ckpt") / "recovered" / "test.edb"


@pytest.fixture
def srum(corpus: Path) -> Path:
    return corpus / "srum" / "goese-SRUDB.dat"


def test_whole_database(capfd: pytest.CaptureFixture[str], srum: Path, tmp_path: Path) -> None:
    status, out, _ = run(capfd, "export", srum, "-o", tmp_path / "out", "--format", "csv")
    assert status == 0
    assert "application_resource_usage" in out
    assert "profile srum" in out
    with (tmp_path / "out" / "application_resource_usage.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1778
    assert rows[0]["User"].startswith("S-1-5-")
    status, out, _ = run(capfd, "export", srum, "-o", tmp_path / "out", "--format", "csv")
    assert status == 0
    assert "kept" in out


def test_json_for_programs(capfd: pytest.CaptureFixture[str], srum: Path, tmp_path: Path) -> None:
    target = tmp_path / "all.sqlite"
    status, out, _ = run(capfd, "export", srum, "-o", target, "--json", "-j", 2)
    report = json.loads(out)
    assert status == 0
    assert report["format"] == "sqlite"
    assert report["rows"] == sum(table["rows"] for table in report["tables"])
    usage = next(t for t in report["tables"] if t["title"] == "application_resource_usage")
    times = next(c for c in usage["columns"] if c["name"] == "TimeStamp")
    assert times["zone"] == "UTC"
    assert times["ese_type"] == "DateTime"
    with sqlite3.connect(target) as db:
        count = db.execute("SELECT count(*) FROM application_resource_usage").fetchone()
    assert count == (usage["rows"],)


def test_some_tables_and_columns(
    capfd: pytest.CaptureFixture[str], database: Path, tmp_path: Path
) -> None:
    status, _, _ = run(capfd, "export", database, "fixed", "VAR", "-o", tmp_path / "o.d",
                       "--format", "jsonl")  # fmt: skip
    assert status == 0
    assert {p.name for p in (tmp_path / "o.d").iterdir()} == {
        "Fixed.jsonl",
        "Var.jsonl",
        "export.json",
    }
    target = tmp_path / "k.parquet"
    status, _, _ = run(capfd, "export", database, "Fixed", "-o", target, "--columns", "k,fLL")
    assert status == 0
    assert target.exists()
    status, _, err = run(capfd, "export", database, "Fixd", "-o", tmp_path / "x", "--format", "csv")
    assert status == 32
    assert "Fixed" in err


def test_remains_are_labelled(
    capfd: pytest.CaptureFixture[str], database: Path, tmp_path: Path
) -> None:
    target = tmp_path / "c.jsonl"
    status, _, _ = run(capfd, "export", database, "Counters", "-o", target, "--include", "all")
    assert status == 0
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    states = {row["_state"] for row in rows}
    assert states >= {"live", "deleted", "carved"}
    for row in rows:
        assert bool(row["_why"]) == (row["_state"] != "live")
        assert row["_confidence"] in ("certain", "high", "medium", "low")
        assert row["_page"] > 0
    _, out, _ = run(capfd, "rows", database, "Counters", "--include", "deleted")
    shown = [json.loads(line)["_state"] for line in out.splitlines()]
    assert set(shown) == {"live", "deleted"}
    assert run(capfd, "rows", database, "Counters", "--include", "undead")[0] == 2


def test_damage_of_one_table(
    capfd: pytest.CaptureFixture[str], database: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "test.edb"
    data = bytearray(database.read_bytes())
    _, out, _ = run(capfd, "tables", database, "--json")
    root = next(t["root"] for t in json.loads(out)["tables"] if t["name"] == "Fixed")
    data[(root + 1) * 4096 + 100 : (root + 1) * 4096 + 400] = bytes(300)
    copy.write_bytes(data)
    status, out, err = run(capfd, "export", copy, "-o", tmp_path / "o", "--format", "jsonl")
    assert status == 4
    assert "failed" in out
    assert "errReadVerifyFailure" in err
    assert not (tmp_path / "o" / "Fixed.jsonl").exists()
    assert json.loads((tmp_path / "o" / "export.json").read_text())["complete"] is False


def test_conditions_and_order(capfd: pytest.CaptureFixture[str], database: Path) -> None:
    def rows(*args: str) -> list[Any]:
        status, out, _ = run(capfd, "rows", database, "Fixed", *args)
        assert status == 0
        return [json.loads(line) for line in out.splitlines()]

    everything = rows("--columns", "k,fLong")
    positive = rows("--columns", "k,fLong", "--where", "fLong > 0")
    assert positive == [row for row in everything if (row["fLong"] or 0) > 0]
    assert rows("--columns", "k,fLong", "--reverse") == everything[::-1]
    ordered = rows("--index", "i_short_long", "--columns", "k")
    assert sorted(row["k"] for row in ordered) == sorted(row["k"] for row in everything)
    assert run(capfd, "rows", database, "Fixed", "--where", "fLong ?")[0] == 35


def test_replay_reads_what_recovery_would_leave(
    capfd: pytest.CaptureFixture[str], shared: Path, tmp_path: Path
) -> None:
    """The rows of the dirty copy, its logs replayed, are those of the recovered database."""
    folder = unpack_vector("crash-p4096-ckpt")
    before = sorted(p.name for p in (folder / "crash").iterdir())
    outputs = []
    for path, extra in ((folder / "crash" / "test.edb", ["--replay"]), (None, [])):
        target = tmp_path / ("replayed" if path else "recovered")
        source = path or folder / "recovered" / "test.edb"
        status, _, _ = run(capfd, "export", source, "-o", target, "--format", "jsonl", *extra)
        assert status == 0
        outputs.append({p.name: p.read_bytes() for p in target.glob("*.jsonl")})
    assert outputs[0] == outputs[1]
    assert sorted(p.name for p in (folder / "crash").iterdir()) == before


def test_which_format(capfd: pytest.CaptureFixture[str], database: Path, tmp_path: Path) -> None:
    status, _, err = run(capfd, "export", database, "-o", tmp_path / "folder")
    assert status == 2
    assert "--format" in err


def test_without_pyarrow(
    capfd: pytest.CaptureFixture[str],
    database: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CSV, JSON lines and SQLite need nothing; Parquet says what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    target = tmp_path / "k.parquet"
    status, _, err = run(capfd, "export", database, "Fixed", "-o", target)
    assert status == 40
    assert "hotsplit[export]" in err
    assert not target.exists()
    assert run(capfd, "export", database, "Fixed", "-o", tmp_path / "k.sqlite")[0] == 0


def test_columns_in_several_files(
    capfd: pytest.CaptureFixture[str], database: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    most = ("--columns-per-file", 3)
    target = ("-o", tmp_path / "out", "--format", "parquet")
    status, out, _ = run(capfd, "export", database, "Wide", *target, *most)
    assert status == 0
    files = sorted(path.name for path in (tmp_path / "out").glob("*.parquet"))
    assert "Wide~c1.parquet to Wide~c" in out
    manifest = json.loads((tmp_path / "out" / "export.json").read_text())
    assert sorted(manifest["tables"][0]["files"]) == files
    status, out, _ = run(capfd, "export", database, "Wide", *target, *most)
    assert status == 0
    assert "kept" in out
    csv_ = ("-o", tmp_path / "x", "--format", "csv")
    status, _, err = run(capfd, "export", database, "Wide", *csv_, *most)
    assert status == 35
    assert "one file" in err


def test_a_column_that_is_not_there(
    capfd: pytest.CaptureFixture[str], srum: Path, tmp_path: Path
) -> None:
    """It is told before anything is written, with what was meant."""
    command = ["export", srum, "network_usage", "-o", tmp_path / "usage.csv", "--columns"]
    status, out, err = run(capfd, *command, "TimeStamp,Ap")
    assert (status, out) == (ObjectNotFound.exit_status, "")
    assert "App" in err
    assert not list(tmp_path.iterdir())
    assert run(capfd, *command, "TimeStamp,App")[0] == 0
    with (tmp_path / "usage.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["TimeStamp", "App"]


def test_a_table_that_fails_has_its_title(
    capfd: pytest.CaptureFixture[str], srum: Path, tmp_path: Path
) -> None:
    _, out, _ = run(capfd, "tables", srum, "network_usage", "--json")
    root = json.loads(out)["tables"][0]["root"]
    damaged = tmp_path / "SRUDB.dat"
    data = bytearray(srum.read_bytes())
    data[(root + 1) * 4096 + 100 : (root + 1) * 4096 + 200] = bytes(100)
    damaged.write_bytes(data)
    status, out, _ = run(
        capfd, "export", damaged, "-o", tmp_path / "out", "--format", "csv", "--json"
    )
    failed = [table for table in json.loads(out)["tables"] if table["error"]]
    assert (status, [table["title"] for table in failed]) == (4, ["network_usage"])
