"""`hotsplit tables` and `hotsplit rows` from the outside."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from hotsplit.cli import main
from hotsplit.cli.opening import column_names
from tests.conftest import unpack_vector


def run(capfd: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(list(args))
    out, err = capfd.readouterr()
    return int(caught.value.code or 0), out, err


@pytest.fixture
def database(shared: Path) -> str:
    return str(unpack_vector("crash-p4096-base") / "recovered" / "test.edb")


@pytest.fixture
def expected(shared: Path) -> dict[str, Any]:
    path = unpack_vector("crash-p4096-base") / "expected.json"
    return {t["name"]: t for t in json.loads(path.read_text())["tables"]}


def test_tables(capfd: pytest.CaptureFixture[str], database: str, expected: dict[str, Any]) -> None:
    status, out, err = run(capfd, "tables", database, "--json", "--count")
    report = json.loads(out)
    assert (status, err, report["dirty"]) == (0, "", False)
    assert {t["name"]: t["rows"] for t in report["tables"]} == {
        name: len(t["rows"]) for name, t in expected.items()
    }
    fixed = next(t for t in report["tables"] if t["name"] == "Fixed")
    assert {i["name"]: i["key"] for i in fixed["indexes"]} == {
        i["name"]: i["key"] for i in expected["Fixed"]["indexes"]
    }
    _, text, _ = run(capfd, "tables", database)
    assert all(name in text for name in expected)
    assert "MSysObjects" not in text
    assert "MSysObjects" in run(capfd, "tables", database, "--all")[1]


def test_rows_as_json_lines_and_csv(
    capfd: pytest.CaptureFixture[str], database: str, expected: dict[str, Any]
) -> None:
    status, out, _ = run(capfd, "rows", database, "Fixed")
    rows = [json.loads(line) for line in out.splitlines()]
    wanted = expected["Fixed"]["rows"]
    assert status == 0
    assert [r["fLL"] for r in rows] == [w.get("fLL") for w in wanted]
    assert [r["fBin"] for r in rows] == [w.get("fBin", "h:")[2:] or None for w in wanted]
    _, out, _ = run(capfd, "rows", database, "fixed", "--format", "csv", "--columns", "k,fULL")
    cells = list(csv.reader(out.splitlines()))
    assert cells[0] == ["k", "fULL"]
    assert cells[1:] == [[str(w["k"]), str(w.get("fULL", ""))] for w in wanted]
    assert len(run(capfd, "rows", database, "Fixed", "--limit", "2")[1].splitlines()) == 2


def test_one_object(capfd: pytest.CaptureFixture[str], database: str) -> None:
    _, out, _ = run(capfd, "rows", database, "Tagged", "--json")
    report = json.loads(out)
    _, lines, _ = run(capfd, "rows", database, "Tagged")
    assert report["rows"] == [json.loads(line) for line in lines.splitlines()]
    assert report["findings"] == []
    _, out, _ = run(capfd, "rows", database, "Tagged", "--json", "--limit", "0")
    assert json.loads(out)["rows"] == []


def test_file(capfd: pytest.CaptureFixture[str], database: str, tmp_path: Path) -> None:
    target = tmp_path / "rows.jsonl"
    target.write_text("old")
    _, out, _ = run(capfd, "rows", database, "LV", "-o", str(target), "--json")
    summary = json.loads(out)
    assert summary["rows"] == len(target.read_text().splitlines())
    assert summary["file"] == str(target)
    assert [p.name for p in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_dash_is_stdout(
    capfd: pytest.CaptureFixture[str],
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(capfd, "rows", database, "Fixed", "-o", "-") == run(capfd, "rows", database, "Fixed")
    status, _, err = run(capfd, "export", database, "Fixed", "-o", "-", "--format", "csv")
    assert status == 2 and "hotsplit rows" in err
    assert not list(tmp_path.iterdir())


def test_nothing_half_written_stays(
    capfd: pytest.CaptureFixture[str], database: str, tmp_path: Path
) -> None:
    damaged = tmp_path / "test.edb"
    data = bytearray(Path(database).read_bytes())
    _, out, _ = run(capfd, "tables", database, "--json")
    root = next(t["root"] for t in json.loads(out)["tables"] if t["name"] == "Fixed")
    data[(root + 1) * 4096 + 100 : (root + 1) * 4096 + 200] = bytes(100)
    damaged.write_bytes(data)
    target = tmp_path / "rows.jsonl"
    status, out, err = run(capfd, "rows", str(damaged), "Fixed", "-o", str(target))
    assert status == 14
    assert not target.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["test.edb"]
    assert f"page {root}" in err
    status, out, _ = run(capfd, "rows", str(damaged), "Fixed", "--json")
    assert status == 14
    assert json.loads(out)["error"]["number"] == -1018


def test_dirty_database_is_read_with_a_notice(
    capfd: pytest.CaptureFixture[str], shared: Path
) -> None:
    dirty = str(shared / "corpus" / "srum" / "win10-17763-dirty" / "SRUDB.dat")
    status, out, err = run(capfd, "rows", dirty, "SruDbIdMapTable", "--limit", "1")
    assert status == 0
    assert json.loads(out)["IdIndex"] == 1
    assert "dirty shutdown" in err
    assert "assess" in err


def test_what_is_not_there(capfd: pytest.CaptureFixture[str], database: str) -> None:
    status, out, err = run(capfd, "rows", database, "Fixd")
    assert (status, out) == (32, "")
    assert "Fixed" in err
    status, out, _ = run(capfd, "rows", database, "Fixed", "--columns", "fLog", "--json")
    error = json.loads(out)["error"]
    assert status == 32
    assert "fLong" in error["hint"]
    status, out, _ = run(capfd, "tables", "/nowhere/x.edb", "--json")
    assert (status, json.loads(out)["error"]["number"]) == (26, -1811)


def test_tables_by_title(capfd: pytest.CaptureFixture[str], corpus: Path) -> None:
    """A profile gives titles; both commands take them, and the list counts what is not live."""
    database = str(corpus / "srum" / "win11-22000-clean-before" / "SRUDB.dat")
    name = "{5C8CF1C7-7257-4F13-B223-970EF5939312}"
    status, out, _ = run(capfd, "tables", database, "--json", "--include", "all")
    report = json.loads(out)
    table = next(t for t in report["tables"] if t["title"] == "application_timeline")
    assert (status, report["profile"], table["name"]) == (0, "srum", name)
    _, out, _ = run(capfd, "rows", database, "application_timeline", "--include", "all")
    states = [json.loads(line)["_state"] for line in out.splitlines()]
    assert table["rows"] == states.count("live") > 0
    assert table["deleted_rows"] == states.count("deleted") > 0
    assert table["carved_rows"] == states.count("carved")
    _, text, _ = run(capfd, "tables", database, "--include", "deleted")
    line = next(line for line in text.splitlines() if line.startswith(name))
    assert line.split()[1:] == ["application_timeline", str(table["root"]), *line.split()[3:-2],
                                str(table["rows"]), str(table["deleted_rows"])]  # fmt: skip
    _, text, _ = run(capfd, "tables", database, "--profile", "none")
    assert "Title" not in text.splitlines()[0]


def test_columns_of_tables(
    capfd: pytest.CaptureFixture[str], database: str, expected: dict[str, Any], corpus: Path
) -> None:
    status, out, _ = run(capfd, "tables", database, "Fixed", "lv")
    assert status == 0
    described = [part for part in out.split("\n\n") if part.strip()]
    assert [part.splitlines()[0] for part in described[::2]] == ["Fixed", "LV"]
    _, out, _ = run(capfd, "tables", database, "Fixed", "--json")
    (table,) = json.loads(out)["tables"]
    listed = [line.split()[1] for line in described[0].splitlines()[2:]]
    assert listed == [column["name"] for column in table["columns"]]
    for index in expected["Fixed"]["indexes"]:
        line = next(x for x in described[1].splitlines() if x.split()[0] == index["name"])
        assert line.split()[1 : 1 + len(index["key"])] == index["key"]
    _, out, _ = run(capfd, "tables", str(corpus / "srum" / "goese-SRUDB.dat"), "ids")
    assert "enum" in next(line for line in out.splitlines() if "IdType" in line)
    assert run(capfd, "tables", database, "Nowhere")[0] == 32


def test_names_of_a_profile_that_was_not_asked_for(
    capfd: pytest.CaptureFixture[str], corpus: Path
) -> None:
    database = str(corpus / "srum" / "goese-SRUDB.dat")
    for more in ["--columns", "App"], ["--where", "App ~ *chrome*"]:
        status, _, err = run(capfd, "rows", database, "network_usage", *more)
        assert status == 32
        assert "--profile srum" in err
        assert run(capfd, "rows", database, "network_usage", "--profile", "auto", *more)[0] == 0


def test_columns_of_a_very_wide_table(capfd: pytest.CaptureFixture[str], corpus: Path) -> None:
    """All of 65,000 columns, each with what it is: work must not grow with their square."""
    status, out, _ = run(capfd, "tables", str(corpus / "engine" / "large.edb"), "large")
    lines = out.splitlines()
    assert (status, lines[0]) == (0, "large")
    assert sum("Column" in line.split()[1] for line in lines[2:] if line.split()[:1]) >= 64993


def test_names_of_columns() -> None:
    assert column_names("a, b c ,d") == ["a", "b c", "d"]
    assert column_names('"a,b", c') == ["a,b", "c"]
    assert column_names('a"b,"c""d"') == ['a"b', 'c"d']
    assert column_names("") == column_names('""') == [""]
    assert column_names('a,,"b" c,') == ["a", "", '"b" c', ""]
    assert column_names('a\nb,"') == ["a\nb", '"']
