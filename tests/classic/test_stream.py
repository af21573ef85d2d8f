"""``eseutil /b``, and what ``/r`` does afterwards: /t, /k."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hotsplit.classic import eseutil
from hotsplit.classic.console import Console
from hotsplit.errors import Jet
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.session import Session
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.format.columns import Coltyp
from hotsplit.ese.format.logsegment import SEGMENT_SIZE
from hotsplit.ese.read.database import Database
from tests.classic.tool import run_eseutil
from tests.conftest import unpack_vector
from tests.ese.engine.crashes import FOLDER, PATH
from tests.ese.engine.test_leaks import begun, dropped, findings

COLUMNS = [Column("Id", Coltyp.LONG), Column("Text", Coltyp.LONG_TEXT, code_page=1252)]
TABLE = "Messages"


@contextmanager
def group(folder: Path) -> Iterator[tuple[Session, Table]]:
    """A storage group with one table, made or opened."""
    settings = Settings(str(folder), page_size=4096, log_size=64 << 10)
    path = str(folder / "mail.edb")
    with closing(Instance.open(OsEnv(), settings)) as instance:
        if (folder / "mail.edb").exists():
            database = instance.attach_database(path)
            session = instance.session()
            yield session, session.open_table(database, TABLE)
        else:
            database = instance.create_database(path)
            session = instance.session()
            index = [Index("pk", ["Id"], primary=True)]
            yield session, session.create_table(database, TABLE, COLUMNS, index)


def work(session: Session, table: Table, first: int, count: int) -> None:
    with session.transaction():
        for number in range(first, first + count):
            table.insert({"Id": number, "Text": f"message {number} " * 20})


def ids(path: Path) -> list[object]:
    with Database.open(OsEnv(), str(path)) as db:
        assert not db.is_dirty
        return [row[0] for row in db.table(TABLE).values(["Id"])]


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """A storage group whose machine stopped: copied while it was at work, all of it committed."""
    live, folder = tmp_path / "live", tmp_path / "group"
    with group(live) as (session, table):
        work(session, table, 0, 400)
        shutil.copytree(live, folder)
    return folder


def _switches(folder: Path) -> list[str]:
    return [f"-l{folder}", f"-s{folder}"]


def test_backup_and_restore(crashed: Path, tmp_path: Path) -> None:
    """A dirty group is recovered first; full and incremental set together hold all rows."""
    ran = run_eseutil("/b", tmp_path / "full", *_switches(crashed))
    assert ran.result == 0, ran.out
    assert "Initiating BACKUP mode..." in ran.out
    assert f"       Log files: {crashed}" in ran.out
    assert "Performing full backup..." in ran.out
    assert "            State: Clean Shutdown" in run_eseutil("/mh", crashed / "mail.edb").out
    with group(crashed) as (session, table):
        work(session, table, 400, 300)
    ran = run_eseutil("/b", tmp_path / "more", *_switches(crashed), "/c")
    assert ran.result == 0, ran.out
    assert "Performing incremental backup..." in ran.out
    assert not list((tmp_path / "more").glob("*.edb"))
    full, new = tmp_path / "full", tmp_path / "restored"
    assert run_eseutil("/r", "E00", f"-b{full}", f"-r{new}").result == 0
    assert ids(new / "mail.edb") == list(range(400))
    for log in (tmp_path / "more").glob("*.log"):
        shutil.copy(log, full)
    again = tmp_path / "rolled forward"
    assert run_eseutil("/r", "E00", f"-b{full}", f"-r{again}").result == 0
    assert ids(again / "mail.edb") == list(range(700))


def test_backups_that_cannot_be_made(crashed: Path, tmp_path: Path) -> None:
    assert run_eseutil("/b").result == -1
    assert run_eseutil("/b", tmp_path / "x", f"-l{tmp_path}").result == Jet.errFileNotFound
    ran = run_eseutil("/b", tmp_path / "x", *_switches(crashed), "/c")
    assert ran.result == Jet.errMissingFullBackup
    assert not (tmp_path / "x").exists()
    assert run_eseutil("/b", crashed, *_switches(crashed)).result < -1


def test_recovery_that_removes_logs(crashed: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(crashed, kept)
    assert len(list(crashed.glob("E00?*.log"))) > 1
    assert run_eseutil("/r", "E00", *_switches(kept), f"-d{kept}").result == 0
    assert run_eseutil("/r", "E00", *_switches(crashed), f"-d{crashed}", "/t").result == 0
    assert [path.name for path in crashed.glob("E00*.log")] == ["E00.log"]
    assert len(list(kept.glob("E00*.log"))) > 1
    assert ids(crashed / "mail.edb") == ids(kept / "mail.edb") == list(range(400))
    with group(crashed) as (session, table):  # and the stream goes on
        work(session, table, 400, 10)
    assert len(ids(crashed / "mail.edb")) == 410


def test_the_last_log_stays_where_there_is_no_current_one(crashed: Path) -> None:
    switches = [*_switches(crashed), f"-d{crashed}"]
    assert run_eseutil("/r", "E00", *switches).result == 0
    (crashed / "E00.log").unlink()
    last = max(path.name for path in crashed.glob("E00?*.log") if path.name[3].isdigit())
    assert run_eseutil("/r", "E00", *switches, "/t").result == 0
    assert [path.name for path in crashed.glob("E000*.log")] == [last]


@pytest.mark.parametrize("switch", ["-k", "-kf"])
def test_recovery_that_shrinks(crashed: Path, switch: str) -> None:
    shutil.rmtree(crashed.parent / "live")  # where its logs say that the database lies
    with group(crashed) as (session, table):
        work(session, table, 400, 4000)
        with session.transaction():
            for number in range(20, 4400):
                table.delete(table.bookmark(number))
    before = (crashed / "mail.edb").stat().st_size
    ran = run_eseutil(
        "/r", "E00", *_switches(crashed), f"-d{crashed}", f"{switch}{crashed / 'mail.edb'}"
    )
    assert ran.result == 0, ran.out
    assert (crashed / "mail.edb").stat().st_size < before
    assert ids(crashed / "mail.edb") == list(range(20))


def test_recovery_that_gives_back_what_a_crash_left(tmp_path: Path) -> None:
    image = dropped(*begun(), "table")
    for switches, left in (([], ["S34"]), ([f"-p{PATH}"], [])):
        out = io.StringIO()
        arguments = ["/r", "E00", f"-l{FOLDER}", f"-d{FOLDER}", *switches]
        assert eseutil.run(arguments, Console(out, out), image) == 0, out.getvalue()
        assert findings(image) == left


def test_only_one_kind_of_space_is_given_back(crashed: Path) -> None:
    ran = run_eseutil("/r", "E00", *_switches(crashed), "/kmail.edb", "/pmail.edb")
    assert ran.result == -1


@pytest.mark.parametrize("switch", ["/k", "/p"])
def test_what_is_given_back_must_be_named(crashed: Path, switch: str) -> None:
    before = (crashed / "mail.edb").read_bytes()
    assert run_eseutil("/r", "E00", *_switches(crashed), f"-d{crashed}", switch).result == -1
    assert (crashed / "mail.edb").read_bytes() == before


def test_a_database_that_is_not_there_is_named_as_it_was(crashed: Path) -> None:
    ran = run_eseutil("/r", "E00", *_switches(crashed), f"-d{crashed}", "/kfew.edb")
    assert ran.result == Jet.errFileNotFound
    assert "few.edb" in ran.out[-1] + ran.out[-2]


@pytest.mark.parametrize("switch", ["/t", "/kmail.edb", "/pmail.edb"])
def test_what_belongs_to_recovery_in_place(crashed: Path, tmp_path: Path, switch: str) -> None:
    ran = run_eseutil("/r", "E00", *_switches(crashed), f"-r{tmp_path / 'new'}", switch)
    assert ran.result == -1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("how", ["torn", "one bit"])
def test_a_log_whose_end_was_torn(shared: Path, tmp_path: Path, how: str) -> None:
    """The shadow of the last segment takes its place; nothing else changes."""
    path = tmp_path / "E00.log"
    sound = (unpack_vector("crash-p4096-mid") / "crash" / "E00.log").read_bytes()
    path.write_bytes(sound)
    with LogFile.open(OsEnv(), str(path)) as log:
        assert not log.corrected
        records, end = list(log.records()), log.end
    damaged = bytearray(sound)
    last = (end.sector - 1) * SEGMENT_SIZE
    if how == "torn":
        damaged[last + 512 : last + SEGMENT_SIZE] = bytes(SEGMENT_SIZE - 512)
    else:
        damaged[last + 700] ^= 4
    path.write_bytes(damaged)
    assert run_eseutil("/ml", path).result == 0
    assert path.read_bytes() == damaged
    assert run_eseutil("/ml", path, "/x").result == 0
    with LogFile.open(OsEnv(), str(path)) as log:
        assert not log.corrected
        assert (list(log.records()), log.end) == (records, end)
    mended = path.read_bytes()
    assert mended[:last] == sound[:last]
    assert mended[last + SEGMENT_SIZE :] == sound[last + SEGMENT_SIZE :]
    assert run_eseutil("/ml", path, "/x").result == 0
    assert path.read_bytes() == mended


def test_a_log_that_cannot_be_mended(shared: Path, tmp_path: Path) -> None:
    path = tmp_path / "E0000000002.log"
    data = bytearray((unpack_vector("crash-p4096-mid") / "crash" / path.name).read_bytes())
    data[5 * SEGMENT_SIZE + 100 : 5 * SEGMENT_SIZE + 900] = bytes(800)
    path.write_bytes(data)
    plain = run_eseutil("/ml", path)
    ran = run_eseutil("/ml", path, "/x")
    assert ran.result == plain.result == Jet.errLogFileCorrupt
    assert path.read_bytes() == data
