"""One folder, one instance; one database, one instance: others are refused, nothing changes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hotsplit.errors import AccessDenied, InvalidUse, Jet
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.files.env import OsEnv

HOLD = """
import sys
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.files.env import OsEnv

instance = Instance.open(OsEnv(), Settings(sys.argv[1], log_size=64 << 10))
instance.create_database(sys.argv[2])
print("open", flush=True)
sys.stdin.read()
"""


@contextmanager
def other_process(folder: Path, database: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has an instance open, and a new database."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        try:
            yield process
        finally:
            process.kill()


def settings(folder: Path) -> Settings:
    return Settings(str(folder), log_size=64 << 10)


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    folder, database = tmp_path / "sg", tmp_path / "sg" / "a.edb"
    with other_process(folder, database) as process:
        before = content(folder)
        with pytest.raises(AccessDenied) as refused:
            Instance.open(OsEnv(), settings(folder))
        assert refused.value.jet == Jet.errFileAccessDenied
        assert content(folder) == before
        process.kill()
        process.wait()
    with Instance.open(OsEnv(), settings(folder)) as instance:
        assert instance.restarted is not None
        instance.attach_database(str(database))
    left = {name for name in content(folder) if "lock" in name or "hotsplit" in name}
    assert not left


def test_a_database_of_another_process_is_refused(tmp_path: Path) -> None:
    database = tmp_path / "a.edb"
    with (
        other_process(tmp_path / "one", database),
        Instance.open(OsEnv(), settings(tmp_path / "two")) as instance,
    ):
        before = database.read_bytes()
        with pytest.raises(AccessDenied) as refused:
            instance.attach_database(str(database))
        assert refused.value.jet == Jet.errFileAccessDenied
        assert database.read_bytes() == before
        instance.create_database(str(tmp_path / "b.edb"))  # the instance itself is well


def test_instances_of_one_process(tmp_path: Path) -> None:
    folder, database = tmp_path / "sg", str(tmp_path / "a.edb")
    with Instance.open(OsEnv(), settings(folder)) as first:
        made = first.create_database(database)
        with pytest.raises(AccessDenied):
            Instance.open(OsEnv(), settings(folder))
        with pytest.raises(InvalidUse) as twice:
            first.attach_database(database)
        assert twice.value.jet == Jet.errDatabaseSharingViolation
        with Instance.open(OsEnv(), settings(tmp_path / "other")) as second:
            with pytest.raises(AccessDenied):
                second.attach_database(database)
            first.detach_database(made)
            second.attach_database(database)
    Instance.open(OsEnv(), settings(folder)).close()
