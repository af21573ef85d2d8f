"""Tables are found by the catalog's own index, not by a look at all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotsplit.errors import ObjectNotFound
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.read.catalog import Catalog, TableEntry
from hotsplit.ese.read.database import Database
from tests.conftest import unpack_vector
from tests.ese.engine.test_tables import FOLDER, ID, PATH, PK, Rig
from tests.memoryenv import MemoryEnv


@pytest.fixture
def no_look_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def entries(_: Catalog) -> dict[str, TableEntry]:
        raise AssertionError("all tables were looked at")

    monkeypatch.setattr(Catalog, "entries", entries)


@pytest.mark.usefixtures("no_look_at_all")
def test_nobody_looks_at_all_tables() -> None:
    rig = Rig()
    for number in range(40):
        rig.table(ID, indexes=(PK,), name=f"Table {number}")
    rig.session.rename_table(rig.database, "Table 3", "Other")
    rig.session.drop_table(rig.database, "Table 4")
    with pytest.raises(ZeroDivisionError), rig.session.transaction():
        rig.table(ID, name="Rolled back")
        raise ZeroDivisionError
    rig.instance.close()
    rig.instance = Instance.open(rig.env, rig.settings)
    database, session = rig.instance.attach_database(PATH), rig.instance.session()
    for name in "Table 3", "Table 4", "Rolled back", "Table", "Table 40", "", "\u0416", "a" * 300:
        assert database.find_table(name) is None
        with pytest.raises(ObjectNotFound):
            session.open_table(database, name)
    for name in "other", "TABLE 0", "tAbLe 39":
        found = database.find_table(name)
        assert found is not None
        assert found.name.casefold() == name.casefold()
        assert [column.name for column in found.columns] == ["Id"]
    rig.instance.close()


@pytest.mark.parametrize("name", ["crash-p8192-mid", "crash-p4096-base"])
def test_tables_of_the_engine(name: str, shared: Path) -> None:
    env = MemoryEnv()
    env.put(PATH, (unpack_vector(name) / "recovered" / "test.edb").read_bytes())
    with Database.open(env, PATH) as reader:
        names, page_size = list(reader.catalog.entries()), reader.page_size
    assert len(names) > 10
    with Instance.open(env, Settings(FOLDER, page_size=page_size)) as instance:
        database = instance.attach_database(PATH)
        for one in names:
            found = database.find_table(one.swapcase())
            assert found is not None
            assert found.name == one
