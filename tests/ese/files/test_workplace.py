"""A result that two programs make at a time: one is refused, the other's is whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hotsplit.errors import AccessDenied, TargetExists
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.workplace import SUFFIX, work_folder
from hotsplit.ese.rebuild.compact import compact
from hotsplit.ese.recovery.recover import recover
from tests.ese.engine.crashes import COLUMNS, FOLDER, INDEXES, PATH, Watched
from tests.ese.engine.judge import check_rules
from tests.memoryenv import MemoryEnv


def new_env() -> Watched:
    env = Watched()
    env.mkdir(FOLDER)
    with Instance.open(env, Settings(FOLDER)) as instance, instance.session() as session:
        session.create_table(instance.create_database(PATH), "Items", COLUMNS, INDEXES)
    return env


def recovered(env: MemoryEnv) -> None:
    recover(env, [FOLDER], [], "/result")


def compacted(env: MemoryEnv) -> None:
    with DatabaseFile.open(env, PATH) as source:
        compact(env, source, PATH, "/result")


@pytest.mark.parametrize(
    ("make", "result"), [(recovered, "/result/items.edb"), (compacted, "/result")]
)
def test_another_program_begins_in_the_middle(
    make: Callable[[MemoryEnv], None], result: str
) -> None:
    env, met = new_env(), list[str]()

    def meet(kind: str, path: str) -> None:
        if kind in ("write", "sync") and path.startswith("/result") and not met:
            met.append(path)
            with pytest.raises(AccessDenied):
                make(env)

    env.moment = meet
    make(env)
    assert met
    check_rules(env, result)
    with pytest.raises(TargetExists):
        make(env)
    assert not [name for name in env.listdir("/") if name.endswith(SUFFIX)]


def test_what_was_left_behind_goes() -> None:
    env = MemoryEnv()
    env.put(f"/result{SUFFIX}/a/b", b"old")
    env.put(f"/result{SUFFIX}/c", b"old")
    with work_folder(env, "/result") as work:
        assert env.listdir(work) == []
        env.rename(work, "/result")
    assert env.listdir("/") == ["result"]
    with pytest.raises(TargetExists), work_folder(env, "/result"):
        pass
    assert env.listdir("/") == ["result"]
