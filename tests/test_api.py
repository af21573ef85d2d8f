"""The calls that a Python developer finds first."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import hotsplit
from hotsplit import backup, engine
from hotsplit.example import unpack

PAGE = Path(__file__).resolve().parents[1] / "docs" / "python.md"


@pytest.fixture
def split(tmp_path: Path) -> Path:
    folder = tmp_path / "split"
    unpack(folder)
    return folder


def test_assess_recover_verify_open(split: Path, tmp_path: Path) -> None:
    assert hotsplit.assess(split).recoverable
    result = hotsplit.recover(split, tmp_path / "out")
    path = result.databases[0][0]
    assert not hotsplit.verify(path).is_damaged
    with hotsplit.open(path) as db:
        assert not db.is_dirty
        assert db.tables()


def test_replay_reads_what_recovery_would_write_and_writes_nothing(
    split: Path, tmp_path: Path
) -> None:
    before = {p.name: p.read_bytes() for p in split.iterdir()}
    recovered = hotsplit.recover([split / "test.edb"], tmp_path / "out", logs=split)
    with (
        hotsplit.open(split / "test.edb", replay=True) as overlay,
        hotsplit.open(recovered.databases[0][0]) as copy,
        hotsplit.open(split / "test.edb") as as_it_lies,
    ):
        assert (overlay.is_dirty, copy.is_dirty, as_it_lies.is_dirty) == (False, False, True)
        assert overlay.tables(system=True) == copy.tables(system=True)
        for table in copy:
            rows = [(r.key, r.values) for r in table.records()]
            assert [(r.key, r.values) for r in overlay.table(table.name).records()] == rows
    assert before == {p.name: p.read_bytes() for p in split.iterdir()}


def test_errors_are_of_one_family(split: Path) -> None:
    (split / "E0000000002.log").unlink()
    with pytest.raises(hotsplit.HotsplitError) as caught:
        hotsplit.open(split / "test.edb", replay=True)
    assert int(caught.value.jet) == -515


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, hotsplit; print([m for m in sys.modules if m.startswith('hotsplit.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def database(split: Path, tmp_path: Path) -> Path:
    """A recovered database."""
    return Path(hotsplit.recover(split, tmp_path / "recovered").databases[0][0])


def rows(path: Path) -> dict[str, int]:
    with hotsplit.open(path) as db:
        tables = [table for table in db if not table.definition.is_template]
        return {table.name: table.count() for table in tables}


def test_check_compact_scrub_repair(database: Path, tmp_path: Path) -> None:
    assert not hotsplit.check(database).is_damaged
    for make in hotsplit.compact, hotsplit.scrub, hotsplit.repair:
        into = tmp_path / make.__name__
        make(database, into)
        assert not hotsplit.check(into).is_damaged
        assert rows(into) == rows(database)


@pytest.mark.parametrize("make", [hotsplit.compact, hotsplit.scrub, hotsplit.repair])
def test_a_dirty_database_is_replayed_in_memory(
    split: Path, database: Path, tmp_path: Path, make: Callable[..., object]
) -> None:
    make(split / "test.edb", tmp_path / "new", replay=True)
    assert rows(tmp_path / "new") == rows(database)


def test_damage_is_found(database: Path) -> None:
    with database.open("r+b") as file:
        file.seek(20 * 4096)
        file.write(b"damage")
    found = hotsplit.check(database)
    assert found.is_damaged
    assert "page 19" in {finding.position for finding in found.reporter.findings}


@pytest.mark.parametrize("replay", [False, True])
def test_export(split: Path, database: Path, tmp_path: Path, replay: bool) -> None:
    source = split / "test.edb" if replay else database
    report = hotsplit.export(source, tmp_path / "all", form="jsonl", replay=replay, jobs=1)
    assert not report.failed
    assert {result.title: result.rows for result in report.results} == rows(database)
    (name, count), *_ = rows(database).items()
    hotsplit.export(source, tmp_path / "one.csv", [name], replay=replay)
    with (tmp_path / "one.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == count


def test_a_suffix_that_says_no_format(database: Path, tmp_path: Path) -> None:
    with pytest.raises(hotsplit.HotsplitError, match="suffix"):
        hotsplit.export(database, tmp_path / "out")


def test_the_engine_and_its_backups(tmp_path: Path) -> None:
    group = tmp_path / "sg1"
    columns = [engine.Column("Id", engine.Coltyp.LONG)]
    with engine.open(group) as instance:
        database = instance.create_database(f"{group}/mail.edb")
        with instance.session() as session, session.transaction():
            table = session.create_table(
                database, "T", columns, [engine.Index("pk", ["Id"], primary=True)]
            )
            table.insert({"Id": 7})
        backup.back_up(instance, tmp_path / "monday")
    aside = backup.restore([tmp_path / "monday"], engine.Settings(f"{tmp_path}/aside"))
    with aside, aside.session() as session:
        (database,) = aside.databases.values()
        assert [row["Id"] for row in session.open_table(database, "T").rows()] == [7]
    assert rows(group / "mail.edb") == {"T": 1}
    with engine.open(engine.Settings(str(group))) as instance:
        assert instance.restarted is None


def test_the_page_of_the_calls_runs(
    split: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(split.parent)
    names: dict[str, object] = {}
    for code in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S):
        exec(compile(code, PAGE.name, "exec"), names)
    first, second, error = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d+ \S+", first)
    assert int(second) == rows(split.parent / "recovered" / "test.edb")["Counters"]
    assert "-" in error


def test_all_names_of_the_package_are_on_the_page() -> None:
    text = PAGE.read_text()
    names = [name for name in hotsplit.__all__ if not name.startswith("_")]
    assert [
        name for name in names if f"`{name}" not in text and f"hotsplit.{name}" not in text
    ] == []


def test_the_package_is_the_command_line() -> None:
    command = [sys.executable, "-m", "hotsplit", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert hotsplit.__version__ in done.stdout


def test_rows_have_the_meanings_of_a_profile(shared: Path) -> None:
    path = shared / "corpus" / "srum" / "goese-SRUDB.dat"
    where = ["App ~ *chrome*", "TimeStamp >= 2021-10-13"]
    found = list(hotsplit.rows(path, "network_usage", columns=["AppId", "App"], where=where))
    assert found
    assert all(row["App"].endswith("chrome.exe") for row in found)
    assert {row["AppId"] for row in found} < {
        row["AppId"] for row in hotsplit.rows(path, "network_usage", profile="srum")
    }
    with pytest.raises(hotsplit.HotsplitError, match="network_usage"):
        next(hotsplit.rows(path, "network_usage", profile="none"))


def test_rows_that_are_not_live_are_labelled(shared: Path) -> None:
    path = shared / "corpus" / "srum" / "win11-22000-clean-before" / "SRUDB.dat"
    table = "{5C8CF1C7-7257-4F13-B223-970EF5939312}"
    states = {row["_state"] for row in hotsplit.rows(path, table, include=["deleted"])}
    assert states == {"live", "deleted"}
