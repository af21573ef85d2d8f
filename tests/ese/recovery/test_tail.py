"""Whether logs that were copied before the database are told from those that reach as far as it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotsplit.errors import Jet, LogsMissing
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.recovery.assess import assess
from hotsplit.ese.recovery.recover import recover
from tests.ese.engine.crashes import COLUMNS, INDEXES


@pytest.mark.parametrize("late", [False, True])
def test_a_header_that_knows_of_changes_does_not_stand_for_their_log(
    tmp_path: Path, *, late: bool
) -> None:
    """It requires the generation whose log was copied when it had just begun."""
    folder, copy, into = tmp_path / "sg", tmp_path / "copy", tmp_path / "recovered"
    instance = Instance.open(OsEnv(), Settings(str(folder), log_size=128 << 10))
    database = instance.create_database(str(folder / "items.edb"))
    session, context = instance.session(), instance.context
    items = session.create_table(database, "Items", COLUMNS, INDEXES)
    items.insert({"Id": 1, "Name": "one"})
    while instance.idle():
        pass
    with context.lock:
        context.log.roll()
        context.log.flush()
        instance.checkpointer.advance()
    current = (folder / "E00.log").read_bytes()
    session.begin()
    items.insert({"Id": 2, "Name": "two"})
    with context.lock:
        context.log.flush()
        context.cache.flush(database.dbid)
        database.write_header()
    assert database.header.gen_min_required == context.log.generation
    if late:
        current = (folder / "E00.log").read_bytes()
    copy.mkdir()
    for file in [*folder.glob("E0?????*.log"), folder / "items.edb"]:
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "E00.log").write_bytes(current)
    instance.close()

    verdict = assess(OsEnv(), [str(copy)], [])
    assert verdict.recoverable == late
    if late:
        assert len(recover(OsEnv(), [str(copy)], [], str(into)).databases) == 1
        return
    assert verdict.error is not None
    assert verdict.error.jet == Jet.errRequiredLogFilesMissing
    with pytest.raises(LogsMissing, match="older than the database copy"):
        recover(OsEnv(), [str(copy)], [], str(into))
