"""Pages that a crash tore: whoever recovers takes them as they were kept beside the logs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.opening.inplace import recover_in_place
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.assess import assess
from hotsplit.ese.recovery.recover import recover
from hotsplit.ese.recovery.replayed import open_replayed
from tests.ese.engine.crashes import COLUMNS, FOLDER, INDEXES, PATH, Watched
from tests.ese.engine.judge import check_rules
from tests.ese.engine.test_failures import SETTINGS, fill
from tests.memoryenv import Crash, MemoryEnv

ROWS = 400


def torn_by(env: Watched, work: Callable[[], object]) -> list[MemoryEnv]:
    """Return what crashes leave while pages are written by some work, with the log whole."""
    images = list[MemoryEnv]()

    def moment(kind: str, path: str) -> None:
        if (kind, path) == ("sync", PATH):
            images.extend(env.crashed(Crash.TORN, seed) for seed in range(4))

    env.moment = moment
    work()
    assert len(images) >= 8
    return images


@pytest.fixture(scope="module", params=["by the engine", "by a recovery in place"])
def torn(request: pytest.FixtureRequest) -> list[MemoryEnv]:
    """What crashes leave while pages are written."""
    env = Watched()
    env.mkdir(FOLDER)
    env.sync_dir("/")
    instance = Instance.open(env, SETTINGS)
    session = instance.session()
    table = session.create_table(instance.create_database(PATH), "Items", COLUMNS, INDEXES)
    for number in range(0, ROWS, 20):
        fill(table, number)
    if request.param == "by a recovery in place":
        again = env.image(Crash.ALL_KEPT, 0)
        return torn_by(again, lambda: Instance.open(again, SETTINGS))

    def write_all() -> None:
        while instance.idle():
            pass

    return torn_by(env, write_all)


def ids(env: MemoryEnv, path: str) -> list[object]:
    with Database.open(env, path) as database:
        return [row["Id"] for row in database.table("Items").rows()]


def test_every_recovery_puts_them_right(torn: list[MemoryEnv]) -> None:
    told = 0
    for image in torn:
        before = image.files(FOLDER)
        verdict = assess(image, [FOLDER], [])
        assert verdict.recoverable, verdict.error
        made = recover(image, [FOLDER], [], "/beside")
        notes = [finding.rule for finding in made.warnings]
        assert ("kept-pages" in notes) == ("kept-pages" in [f.rule for f in verdict.evidence])
        told += len(notes)
        with open_replayed(image, PATH, [FOLDER]) as database:
            assert len(list(database.table("Items").rows())) == ROWS
        assert image.files(FOLDER) == before

        again = image.crashed(Crash.ALL_KEPT)
        recover_in_place(again, [FOLDER], [])
        for env, path in ((image, "/beside/items.edb"), (again, PATH)):
            assert ids(env, path) == list(range(ROWS))
            check_rules(env, path)
    assert told
