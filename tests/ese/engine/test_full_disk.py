"""A real small file system that fills: what was durable stays, and more room lets it go on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotsplit.errors import DiskFull, HotsplitError, InstanceDown, Jet
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.files.env import OsEnv
from tests.ese.engine.crashes import COLUMNS, INDEXES
from tests.ese.engine.shape import check_database

SMALL, LARGE = "8m", "64m"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that is a file system of its own."""
    if os.geteuid() or shutil.which("mount") is None:
        pytest.skip("only root can mount a file system with a size")
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mount("-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(folder))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"a file system cannot be mounted here: {error.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def work_until_it_fails(instance: Instance, path: str) -> tuple[int, HotsplitError]:
    """Insert rows, each in a transaction of its own; return how many, and why there are no more."""
    with instance.session() as session:
        table = session.create_table(instance.create_database(path), "Items", COLUMNS, INDEXES)
        number = 0
        while True:
            try:
                table.insert(
                    {"Id": number, "Name": f"n{number}", "Body": bytes([number % 256]) * 900}
                )
            except HotsplitError as error:
                return number, error
            number += 1


@pytest.mark.parametrize("circular", [True, False], ids=["database grows", "logs grow"])
def test_a_disk_that_fills(disk: Path, circular: bool) -> None:
    folder, path = str(disk / "sg"), str(disk / "sg" / "items.edb")
    settings = Settings(
        folder,
        log_size=128 << 10,
        checkpoint_depth=256 << 10,
        circular=circular,
        cache_size=1 << 20,
    )
    instance = Instance.open(OsEnv(), settings)
    count, error = work_until_it_fails(instance, path)
    assert count > 500
    assert isinstance(error, (DiskFull, InstanceDown))
    assert error.jet in (
        Jet.errDiskFull,
        Jet.errLogDiskFull,
        Jet.errInstanceUnavailable,
        Jet.errInstanceUnavailableDueToFatalLogDiskFull,
    )
    try:
        instance.close()
    except HotsplitError as failed:
        assert isinstance(failed, (DiskFull, InstanceDown))
    mount("-o", f"remount,size={LARGE}", str(disk))
    with Instance.open(OsEnv(), settings) as again, again.session() as session:
        table = session.open_table(again.attach_database(path), "Items")
        rows = list(table.rows())
        assert [row["Id"] for row in rows] == list(range(count))
        assert all(row["Body"] == bytes([n % 256]) * 900 for n, row in enumerate(rows))
        table.insert({"Id": count})
    check_database(OsEnv(), path)


def test_a_disk_that_fills_in_the_middle_of_a_transaction(disk: Path) -> None:
    path = str(disk / "items.edb")
    settings = Settings(str(disk), log_size=256 << 10, checkpoint_depth=512 << 10)
    instance = Instance.open(OsEnv(), settings)
    session = instance.session()
    table = session.create_table(instance.create_database(path), "Items", COLUMNS, INDEXES)
    number = 0
    with pytest.raises((DiskFull, InstanceDown)) as error:
        while number < 20_000:
            with session.transaction():
                for _ in range(10):
                    table.insert({"Id": number, "Body": b"b" * 700})
                    number += 1
    down = Jet.errInstanceUnavailableDueToFatalLogDiskFull
    assert error.value.jet in (Jet.errLogDiskFull, Jet.errDiskFull, down)
    with pytest.raises((DiskFull, InstanceDown)):
        table.insert({"Id": -1, "Body": b"b" * 5000})
    instance.close()
    mount("-o", f"remount,size={LARGE}", str(disk))
    with Instance.open(OsEnv(), settings) as again, again.session() as reader:
        items = reader.open_table(again.attach_database(path), "Items")
        found = [row["Id"] for row in items.rows()]
        items.insert({"Id": -1})
    assert found == list(range(number - number % 10))
    assert again.restarted is None  # it was shut down cleanly
    check_database(OsEnv(), path)


def test_a_database_has_the_space_of_all_its_pages(tmp_path: Path) -> None:
    """A page that is there can always be written: no file is larger than its space."""
    path = tmp_path / "items.edb"
    with Instance.open(OsEnv(), Settings(str(tmp_path))) as instance, instance.session() as session:
        database = instance.create_database(str(path))
        table = session.create_table(database, "Items", COLUMNS, INDEXES)
        with session.transaction():
            for number in range(500):
                table.insert({"Id": number, "Body": b"b" * 3000})
        found = path.stat()
        assert found.st_size > 1 << 20
        assert found.st_blocks * 512 >= found.st_size
