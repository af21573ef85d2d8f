"""`hotsplit assess` and `hotsplit recover` as a user runs them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hotsplit.cli import main
from hotsplit.errors import DatabaseMismatch, FileMissing, LogsMissing
from hotsplit.example import unpack


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """The hot split set in the package: logs 1 to 5 are required, E00.log is the last."""
    folder = tmp_path / "split"
    unpack(folder)
    return folder


class Ran:
    """What a command printed and its exit status."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *args: object) -> None:
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in args])
        self.status = ended.value.code
        self.out, self.err = capsys.readouterr()

    @property
    def json(self) -> dict[str, Any]:
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


def test_assess_says_yes(split: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = Ran(capsys, "assess", split)
    assert ran.status == 0
    assert "RECOVERABLE" in ran.out
    assert ran.err == ""


def test_assess_json_has_the_documented_keys(
    split: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Ran(capsys, "assess", split, "--json").json
    assert found["recoverable"] is True
    assert found["error"] is None
    assert found["state"] == "Dirty Shutdown"
    assert found["missing"] == found["foreign"] == found["damaged"] == []
    assert found["log_required"][1] == found["roll_forward_to"]
    assert found["log_required_files"][-1] == "E00.log"
    assert {"log_committed", "checkpoint", "evidence"} <= set(found)


def test_assess_explains_a_missing_log(split: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (split / "E0000000002.log").unlink()
    ran = Ran(capsys, "assess", split, "--json")
    assert ran.json["recoverable"] is False
    assert ran.json["missing"] == ["E0000000002.log"]
    assert ran.json["error"]["name"] == "JET_errInvalidLogSequence"
    assert ran.status == 17


def test_recover_writes_databases_and_events(
    split: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = tmp_path / "out"
    ran = Ran(capsys, "recover", split, "--into", into, "--json")
    assert ran.status == 0
    assert ran.err == ""
    assert ran.json["databases"][0]["state"] == "CLEAN_SHUTDOWN"
    assert Path(ran.json["databases"][0]["path"]).parent == into
    events = [json.loads(line) for line in (tmp_path / "out.events.jsonl").open()]
    replayed = ran.json["replayed"]
    logs = replayed["last"] - replayed["first"] + 1
    assert [e["id"] for e in events] == [300, *[301] * logs, 302]


def test_a_failed_recovery_leaves_events_and_nothing_else(
    split: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (split / "E00.log").unlink()
    ran = Ran(capsys, "recover", split, "--into", tmp_path / "out", "--json")
    assert ran.status == LogsMissing.exit_status
    assert ran.json["error"]["number"] == -543
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.events.jsonl", "split"]
    events = [json.loads(line) for line in (tmp_path / "out.events.jsonl").open()]
    assert [e["id"] for e in events] == [300, 453, 454]


def test_point_in_time(split: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    too_early = Ran(capsys, "recover", split, "--into", tmp_path / "a", "--until", "3", "--json")
    assert too_early.json["error"]["number"] == -543
    high = Ran(capsys, "assess", split, "--json").json["log_required"][1]
    whole = Ran(capsys, "recover", split, "--into", tmp_path / "b", "--until", high, "--json")
    assert whole.json["replayed"]["last"] == high


def test_redo_alone_can_be_continued(
    split: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = Ran(capsys, "recover", split, "--into", tmp_path / "a", "--without-undo", "--json").json
    assert half["databases"][0]["state"] == "DIRTY_SHUTDOWN"
    assert half["warnings"][0]["error"]["number"] == -579
    arguments = ("--logs", split, "--into", tmp_path / "b", "--json")
    rest = Ran(capsys, "recover", half["databases"][0]["path"], *arguments).json
    direct = Ran(capsys, "recover", split, "--into", tmp_path / "c", "--json").json
    one, two = (Path(r["databases"][0]["path"]).read_bytes() for r in (rest, direct))
    assert one[8192:] == two[8192:] or rest["databases"][0]["state"] == "CLEAN_SHUTDOWN"


def test_a_clean_database_is_left_as_it_is(
    split: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Ran(capsys, "recover", split, "--into", tmp_path / "a", "--json").json
    path = first["databases"][0]["path"]
    again = Ran(capsys, "recover", path, "--into", tmp_path / "b", "--json").json
    assert again["replayed"]["records"] == 0
    assert Path(again["databases"][0]["path"]).read_bytes() == Path(path).read_bytes()


def test_paths_that_do_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = Ran(capsys, "assess", tmp_path / "nothing")
    assert ran.status == FileMissing.exit_status
    assert "nothing" in ran.err


def test_a_map_names_a_database_that_lies_elsewhere(
    split: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "elsewhere" / "renamed.edb"
    moved.parent.mkdir()
    shutil.move(split / "test.edb", moved)
    lost = Ran(capsys, "recover", split, "--into", tmp_path / "a", "--json")
    assert lost.json["error"] is None or lost.json["error"]["number"] == -1216
    found = Ran(
        *(capsys, "recover", split, "--into", tmp_path / "b", "--json"),
        *("--map", f"S:\\anywhere\\test.edb={moved}"),
    )
    assert [Path(d["path"]).name for d in found.json["databases"]] == ["renamed.edb"]


@pytest.mark.parametrize(
    "twice", ["split split/test.edb", "split/test.edb split/test.edb", "split"]
)
def test_a_database_that_is_there_twice_is_one(
    split: Path, capsys: pytest.CaptureFixture[str], twice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a pattern of the shell or a link has it."""
    monkeypatch.chdir(split.parent)
    if twice == "split":
        (split / "zlink.edb").symlink_to("test.edb")
    assert Ran(capsys, "assess", *twice.split()).status == 0
    ran = Ran(capsys, "recover", *twice.split(), "--into", "new", "--json")
    assert ran.status == 0
    assert [Path(one["path"]).name for one in ran.json["databases"]] == ["test.edb"]


def test_two_copies_of_a_database(split: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(split / "test.edb", split / "copy of test.edb")
    ran = Ran(capsys, "assess", split)
    assert ran.status == DatabaseMismatch.exit_status
    assert "another copy of this database" in ran.out
    assert "Next: Name the file to recover" in ran.out
    assert Ran(capsys, "assess", split / "test.edb").status == 0
