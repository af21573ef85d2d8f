"""Processes that fork while an instance is open: the child has none, the parent's goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hotsplit.errors import InstanceDown
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.pages.livestore import LiveStore
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.files.env import OsEnv
from tests.ese.engine.crashes import COLUMNS, INDEXES
from tests.ese.engine.shape import check_database


def in_child(work: Callable[[], None]) -> int:
    """Fork, and work in the child; return its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def test_a_child_cannot_use_its_parents_instance(tmp_path: Path) -> None:
    settings, path = Settings(str(tmp_path), log_size=64 << 10), str(tmp_path / "a.edb")
    with Instance.open(OsEnv(), settings) as instance, instance.session() as session:
        table = session.create_table(instance.create_database(path), "T", COLUMNS, INDEXES)
        table.insert({"Id": 1})
        session.begin()
        table.insert({"Id": 2})

        def child() -> None:
            for use in (
                lambda: table.insert({"Id": 3}),
                session.commit,
                instance.session,
                lambda: instance.create_database(str(tmp_path / "b.edb")),
            ):
                with pytest.raises(InstanceDown, match="forked"):
                    use()
            instance.close()

        with instance.context.lock:  # which another thread might have at that moment
            pid = in_child(child)
        assert os.waitpid(pid, 0)[1] == 0
        session.commit()
        table.insert({"Id": 4})
        assert [row["Id"] for row in table.rows()] == [1, 2, 4]
    check_database(OsEnv(), path)
    assert not (tmp_path / "b.edb").exists()


def test_a_child_keeps_nothing_locked(tmp_path: Path) -> None:
    settings, path = Settings(str(tmp_path), log_size=64 << 10), str(tmp_path / "a.edb")
    instance = Instance.open(OsEnv(), settings)
    instance.create_database(path)
    waits, ends = os.pipe()

    def child() -> None:
        os.close(ends)
        os.read(waits, 1)

    pid = in_child(child)
    instance.close()
    with Instance.open(OsEnv(), settings) as again:
        store = again.attach_database(path).store
        assert isinstance(store, LiveStore)
        assert store.flush_map is not None
    os.close(ends)
    assert os.waitpid(pid, 0)[1] == 0
    os.close(waits)
