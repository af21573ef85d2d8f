"""``hotsplit check``: what it prints for people and programs, and how it exits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hotsplit.cli import group
from hotsplit.ese.check.rules import RULES, markdown
from hotsplit.ese.files.env import OsEnv
from tests.conftest import unpack_vector

DOCS = Path(__file__).resolve().parents[2] / "docs"


def run(*args: str) -> Result:
    return CliRunner().invoke(group, ["check", *args], standalone_mode=False)


@pytest.fixture
def sound(shared: Path) -> Path:
    return unpack_vector("crash-p4096-mid") / "recovered" / "test.edb"


@pytest.fixture
def damaged(sound: Path, tmp_path: Path) -> Path:
    """Some pages overwritten, the root of the catalog among them."""
    data = bytearray(sound.read_bytes())
    for pgno in (4, *range(31, 60)):
        data[(pgno + 1) * 4096 + 200 : (pgno + 1) * 4096 + 233] = b"other bytes" * 3
    path = tmp_path / "test.edb"
    path.write_bytes(data)
    return path


def test_a_sound_database(sound: Path) -> None:
    result = run(str(sound))
    assert result.return_value == 0
    assert result.output.rstrip().endswith("Sound.")
    assert "T26" in result.output and "flagged deleted" not in result.output  # notes only count


def test_a_sound_database_as_json(sound: Path) -> None:
    value = json.loads(run("--json", str(sound)).output)
    assert (value["verdict"], value["dirty"], value["error"]) == ("sound", False, None)
    assert value["pages"] == sound.stat().st_size // value["page_size"] - 2
    assert all(value[name] > 0 for name in ("tables", "trees", "records", "index_entries"))
    assert {f["severity"] for f in value["findings"]} == {"note"}
    assert [rule["rule"] for rule in value["rules"]] == sorted(
        {f["rule"] for f in value["findings"]}, key=list(RULES).index
    )


def test_a_damaged_database(damaged: Path) -> None:
    result = run(str(damaged))
    assert result.return_value == 4
    lines = result.output.splitlines()
    assert any(
        line.startswith("P12a error: page 4: ") and "JET_errReadVerifyFailure (-1018)" in line
        for line in lines
    )
    assert lines[-1] == "Damaged."


def test_a_limit_keeps_few_and_counts_all(damaged: Path) -> None:
    value = json.loads(run("--json", "--limit", "2", str(damaged)).output)
    kept = [f for f in value["findings"] if f["rule"] == "P12a"]
    counted = next(rule["findings"] for rule in value["rules"] if rule["rule"] == "P12a")
    assert len(kept) == 2 < counted
    assert value["verdict"] == "damaged"


def test_many_findings_of_a_rule_are_not_all_shown(sound: Path, tmp_path: Path) -> None:
    data = bytearray(sound.read_bytes())
    for pgno in range(31, 120):
        data[(pgno + 1) * 4096 + 200] ^= 1  # one bit, which is corrected
    path = tmp_path / "test.edb"
    path.write_bytes(data)
    result = run(str(path))
    assert result.return_value == 0
    assert sum(line.startswith("P12b warning") for line in result.output.splitlines()) == 20
    assert "more findings of rule P12b" in result.output
    assert result.output.rstrip().endswith("Sound; see the warnings.")


def test_a_dirty_database_is_told_apart(shared: Path) -> None:
    path = str(unpack_vector("crash-p4096-mid") / "crash" / "test.edb")
    result = run(path)
    assert result.return_value == 30
    assert "not shut down cleanly" in result.output
    assert json.loads(run("--json", path).output)["verdict"] == "dirty"


def test_the_file_is_only_read(damaged: Path) -> None:
    before = damaged.read_bytes(), damaged.stat().st_mtime_ns
    run(str(damaged))
    assert (damaged.read_bytes(), damaged.stat().st_mtime_ns) == before
    assert [p.name for p in damaged.parent.iterdir()] == ["test.edb"]


def test_a_file_that_changes_meanwhile(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "test.edb"
    path.write_bytes(sound.read_bytes())
    opened = OsEnv.open

    def open_and_grow(self: OsEnv, name: str, mode: str) -> object:
        file = opened(self, name, mode)  # type: ignore[arg-type]
        real = file.pread

        def pread(size: int, offset: int) -> bytes:
            if offset > 8 * 4096:
                with path.open("ab") as more:
                    more.write(b"\0")
            return real(size, offset)

        monkeypatch.setattr(file, "pread", pread)
        return file

    monkeypatch.setattr(OsEnv, "open", open_and_grow)
    result = run(str(path))
    assert type(result.exception).__name__ == "SourceChanged"


@pytest.mark.parametrize("content", [b"", b"no database" * 1000, bytes(100_000)])
def test_what_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.edb"
    path.write_bytes(content)
    assert type(run(str(path)).exception).__name__ in ("NotEseFile", "HeaderDamaged")


def test_the_documentation_lists_every_rule() -> None:
    page = (DOCS / "check.md").read_text()
    assert page.endswith(markdown()), "write docs/check.md anew: python -m hotsplit.ese.check.rules"
    for rule in RULES:
        assert f"| {rule} | " in page
