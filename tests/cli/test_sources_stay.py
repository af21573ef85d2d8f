"""No command writes over an ESE file, whatever it is told to overwrite; pipes do not block it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hotsplit.cli import main
from hotsplit.errors import IoFailed, TargetExists
from tests.conftest import unpack_vector

COMMANDS = {
    "rows": "rows {db} Fixed -o {db}",
    "rows over a log": "rows {db} Fixed -o {log}",
    "rows as csv over a checkpoint": "rows {db} Fixed --format csv -o {checkpoint}",
    "export to SQLite": "export {db} --format sqlite --overwrite -o {db}",
    "export of one table": "export {csv} Fixed --format csv --overwrite -o {csv}",
    "export to Parquet": "export {parquet} Fixed --overwrite -o {parquet}",
    "events of recover": "recover {folder} --into {folder}/new --events {db}",
    "compact": "compact {db} --replay --into {db}",
    "repair": "repair {db} --into {db}",
    "scrub": "scrub {db} --replay --into {log}",
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_what_is_read_is_never_written_over(shared: Path, tmp_path: Path, command: str) -> None:
    folder = tmp_path / "split"
    shutil.copytree(unpack_vector("crash-p4096-base") / "crash", folder)
    database = folder / "test.edb"
    names = {"db": database, "log": folder / "E07.log", "checkpoint": folder / "E07.chk"}
    for suffix in "csv", "parquet":
        names[suffix] = folder / f"t.{suffix}"
        shutil.copy(database, names[suffix])
    assert all(path.exists() for path in names.values())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(SystemExit) as ended:
        main(command.format(folder=folder, **names).split())
    assert ended.value.code == TargetExists.exit_status
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_one_table_replaces_a_file_only_when_asked(shared: Path, tmp_path: Path) -> None:
    database = unpack_vector("crash-p4096-base") / "recovered" / "test.edb"
    target = tmp_path / "fixed.csv"
    target.write_text("notes of somebody")
    command = ["export", str(database), "Fixed", "-o", str(target)]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == TargetExists.exit_status
    assert target.read_text() == "notes of somebody"
    with pytest.raises(SystemExit) as ended:
        main([*command, "--overwrite"])
    assert ended.value.code == 0
    assert target.read_text().startswith('"')


@pytest.mark.parametrize("command", ["inspect", "verify", "tables", "check", "assess"])
def test_a_pipe_is_not_waited_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    pipe = tmp_path / "pipe.edb"
    os.mkfifo(pipe)
    with pytest.raises(SystemExit) as ended:
        main([command, str(pipe)])
    assert ended.value.code == IoFailed.exit_status
    assert "no regular file" in capsys.readouterr().err
