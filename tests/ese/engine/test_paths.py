"""Where the files of an instance lie, and what they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotsplit.errors import AccessDenied, InvalidUse, Jet
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.opening.inplace import recover_in_place
from hotsplit.ese.engine.schema.definitions import Column
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.files.checkpointfile import CheckpointFile
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.files.logsequence import LogSequence
from hotsplit.ese.format.columns import Coltyp
from tests.ese.engine.judge import check_rules
from tests.memoryenv import Crash, MemoryEnv

LOG_SIZE = 64 << 10
APART = Settings("/logs", log_size=LOG_SIZE, system_folder="/system", temp_folder="/temp")


def fill(instance: Instance, path: str, rows: int = 200) -> None:
    database = instance.create_database(path)
    with instance.session() as session:
        table = session.create_table(database, "t", [Column("n", Coltyp.LONG)])
        for n in range(rows):
            with session.transaction():
                table.insert({"n": n})


def numbers(instance: Instance, path: str) -> list[object]:
    database = next((d for d in instance.databases.values() if d.path == path), None)
    database = database or instance.attach_database(path)
    with instance.session() as session:
        return [row["n"] for row in session.open_table(database, "t").rows()]


def new_env() -> MemoryEnv:
    env = MemoryEnv()
    for folder in ("/data", "/logs", "/system", "/temp"):
        env.mkdir(folder)
        env.sync_dir("/")
    return env


def test_logs_checkpoint_and_databases_lie_in_folders_of_their_own() -> None:
    env = new_env()
    with Instance.open(env, APART) as instance:
        fill(instance, "/data/a.edb")
    assert env.listdir("/system") == ["E00.chk"]
    assert "E00.log" in env.listdir("/logs")
    assert not [name for name in env.listdir("/logs") if name.endswith((".chk", ".edb"))]
    assert env.listdir("/temp") == []
    parameters = CheckpointFile.read(env, "/system/E00.chk").checkpoint.parameters
    assert parameters.system_path == "/system/"
    assert parameters.log_path == "/logs/"


def test_a_crash_is_recovered_with_the_checkpoint_of_the_system_folder() -> None:
    env = new_env()
    instance = Instance.open(env, APART)
    fill(instance, "/data/a.edb")
    for dbid in instance.databases:
        instance.context.cache.flush(dbid)
    instance.checkpointer.advance()
    found = CheckpointFile.read(env, "/system/E00.chk").checkpoint.position.generation
    assert found > 1
    after = env.crashed(Crash.ALL_KEPT)
    with Instance.open(after, APART) as again:
        assert again.restarted is not None
        assert again.restarted.first == found
        assert numbers(again, "/data/a.edb") == list(range(200))
    assert after.listdir("/temp") == []


def test_a_name_that_is_no_text_is_refused_as_no_log_can_give_it_back() -> None:
    env, path = new_env(), "/data/caf\udce9.edb"  # a byte that is not UTF-8
    with Instance.open(env, APART) as instance:
        fill(instance, "/data/caf\u00e9.edb")
        env.put(path, b"")
        for take in instance.create_database, instance.attach_database:
            for wrong in path, "/data/a\0b.edb":
                with pytest.raises(InvalidUse) as error:
                    take(wrong)
                assert error.value.jet == Jet.errInvalidPath


def test_a_database_whose_name_is_no_text_is_recovered_in_place() -> None:
    env, path = new_env(), "/data/caf\udce9.edb"
    fill(Instance.open(env, APART), "/data/a.edb", 20)
    env = env.crashed(Crash.ALL_KEPT)
    env.rename("/data/a.edb", path)
    recover_in_place(env, [path], ["/logs"])
    check_rules(env, path)


def test_a_checkpoint_that_is_left_beside_the_logs_is_of_no_account() -> None:
    env = new_env()
    together = Settings("/logs", log_size=LOG_SIZE)
    with Instance.open(env, together) as instance:
        fill(instance, "/data/a.edb")
    with Instance.open(env, APART) as instance:  # recovers, for want of a checkpoint
        assert numbers(instance, "/data/a.edb") == list(range(200))
    with Instance.open(env, APART) as instance:
        assert instance.restarted is None


def test_two_instances_have_no_folder_in_common_but_that_of_scratch_files(tmp_path: Path) -> None:
    def settings(logs: str, system: str) -> Settings:
        return Settings(
            str(tmp_path / logs),
            log_size=LOG_SIZE,
            system_folder=str(tmp_path / system),
            temp_folder=str(tmp_path / "temp"),
        )

    with (
        Instance.open(OsEnv(), settings("l1", "s1")),
        Instance.open(OsEnv(), settings("l2", "s2")),
    ):
        for logs, system in (("l3", "s1"), ("l1", "s3"), ("s2", "s3")):
            with pytest.raises(AccessDenied) as refused:
                Instance.open(OsEnv(), settings(logs, system))
            assert refused.value.jet == Jet.errFileAccessDenied
        assert not list((tmp_path / "l3").iterdir())


@pytest.mark.parametrize("name", ["E00.log", "e0000000005.log", "E00tmp.log", "E00.chk", "E01.log"])
def test_no_database_is_called_like_a_file_of_logs(name: str) -> None:
    env = new_env()
    with Instance.open(env, APART) as instance:
        with pytest.raises(InvalidUse) as refused:
            instance.create_database(f"/logs/{name}")
        assert refused.value.jet == Jet.errInvalidPath


@pytest.mark.parametrize("base", ["edb", "E0F", "j50"])
def test_base_names(base: str) -> None:
    env = new_env()
    settings = Settings("/logs", base, log_size=LOG_SIZE)
    instance = Instance.open(env, settings)
    fill(instance, "/data/a.edb")
    after = env.crashed(Crash.ALL_KEPT)
    assert f"{base}00000001.log" in after.listdir("/logs")
    with Instance.open(after, settings) as again:
        assert numbers(again, "/data/a.edb") == list(range(200))


@pytest.mark.parametrize("log_size", [5 << 20, 1280 << 10, 68 << 10])
def test_logs_of_other_sizes(log_size: int) -> None:
    """Those of Exchange 2000 and of Windows Update are no powers of two (1.2)."""
    env = new_env()
    settings = Settings("/logs", page_size=4096, log_size=log_size)
    instance = Instance.open(env, settings)
    fill(instance, "/data/a.edb", 1500 if log_size < 5 << 20 else 20)
    after = env.crashed(Crash.ALL_KEPT)
    assert len(after.get("/logs/E00.log")) == log_size
    in_place = env.crashed(Crash.ALL_KEPT)
    recover_in_place(in_place, ["/data/a.edb"], ["/logs"])
    check_rules(in_place, "/data/a.edb")
    with Instance.open(after, settings) as again:
        expected = list(range(1500 if log_size < 5 << 20 else 20))
        assert numbers(again, "/data/a.edb") == expected
    with Instance.open(in_place, settings) as again:
        assert again.restarted is None
        assert numbers(again, "/data/a.edb") == expected


def test_the_settings_of_exchange_2000() -> None:
    found = Settings.exchange_2000("/logs", "E01")
    assert (found.page_size, found.log_sectors * 4096, found.base) == (4096, 5 << 20, "E01")
    assert (found.databases, found.checkpoint_depth, found.circular) == (5, 20 << 20, False)


def test_a_stream_in_other_names_is_continued_in_them() -> None:
    """Logs of 5 digits and the endings of some services (1.1)."""
    env = new_env()
    settings = Settings("/logs", log_size=LOG_SIZE)
    with Instance.open(env, settings) as instance:
        fill(instance, "/data/a.edb")
    for name in env.listdir("/logs"):
        changed = name.replace("E00000", "E00").replace(".log", ".jtx").replace(".chk", ".jcp")
        env.rename(f"/logs/{name}", f"/logs/{changed}")
    with Instance.open(env, settings) as instance:
        assert instance.restarted is None
        database = instance.attach_database("/data/a.edb")
        with instance.session() as session:
            table = session.open_table(database, "t")
            for n in range(200, 400):
                with session.transaction():
                    table.insert({"n": n})
    assert not [name for name in env.listdir("/logs") if name.endswith(".log")]
    sequence = LogSequence.find(env, ["/logs"])
    assert (sequence.digits, sequence.extension, sequence.gaps) == (5, "jtx", [])
    assert sequence.highest > 3
    with Instance.open(env, settings) as instance:
        assert numbers(instance, "/data/a.edb") == list(range(400))


@pytest.mark.parametrize("rows", [1, 900])
def test_a_current_log_that_somebody_takes_away_comes_back(rows: int) -> None:
    env = new_env()
    instance = Instance.open(env, APART)
    fill(instance, "/data/a.edb", 100)
    env.remove("/logs/E00.log")
    with instance.session() as session:
        table = session.open_table(instance.databases[1], "t")
        table.insert_many({"n": 100 + n} for n in range(rows))
        table.insert({"n": -1})
    if rows > 1:  # a log has begun since
        env = env.crashed(Crash.ALL_KEPT)
    else:
        instance.close()
    with Instance.open(env, APART) as again:
        assert numbers(again, "/data/a.edb") == [*range(100 + rows), -1]
    names = [name for name in env.listdir("/logs") if name.startswith("E0000")]
    assert names == [f"E00{number:08X}.log" for number in range(1, len(names) + 1)]
