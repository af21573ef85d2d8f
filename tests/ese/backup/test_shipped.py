"""Logs that are shipped piece by piece: at any moment all that the sender had written recovers."""

from __future__ import annotations

import random

import pytest

from hotsplit.errors import InvalidUse, Jet, LogSequenceBroken
from hotsplit.ese.backup.shipped import LogReceiver, end_shipping
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.log.emit import LogData
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.recover import recover
from tests.ese.engine.crashes import COLUMNS, FOLDER, INDEXES, Watched
from tests.ese.engine.shape import check_database
from tests.memoryenv import Crash, MemoryEnv

SETTINGS = Settings(FOLDER, page_size=4096, log_size=64 << 10)
STANDBY = "/standby"


class Sender:
    """An instance at work, and a receiver of its logs."""

    def __init__(self) -> None:
        self.env = MemoryEnv()
        self.env.mkdir(FOLDER)
        self.far = MemoryEnv()
        self.far.mkdir(STANDBY)
        self.far.sync_dir("/")
        self.instance = Instance.open(self.env, SETTINGS)
        self.pieces: list[LogData] = []
        self.receiver = LogReceiver(self.far, STANDBY, "E00")
        self.instance.context.log.emit_to(self._take)
        database = self.instance.create_database(f"{FOLDER}/mail.edb")
        self.session = self.instance.session()
        self.table: Table = self.session.create_table(database, "Items", COLUMNS, INDEXES)
        self.done = 0

    def _take(self, piece: LogData) -> None:
        self.pieces.append(piece)
        self.receiver.take(piece)

    def work(self, count: int) -> None:
        for _ in range(count):
            with self.session.transaction():
                self.table.insert({"Id": self.done, "Body": b"b" * 600})
            self.done += 1


def numbers(env: MemoryEnv, path: str) -> list[object]:
    check_database(env, path)
    with Database.open(env, path) as database:
        return [row["Id"] for row in database.table("Items").rows()]


def test_complete_logs_equal_those_of_the_sender() -> None:
    sender = Sender()
    sender.work(300)
    names = [name for name in sender.far.listdir(STANDBY) if name.endswith(".log")]
    assert len(names) > 3
    for name in names:
        assert sender.far.get(f"{STANDBY}/{name}") == sender.env.get(f"{FOLDER}/{name}")
    current = sender.instance.context.log.generation
    shipped = sender.far.get(f"{STANDBY}/E00{current:08X}.jsl")
    assert sender.env.get(f"{FOLDER}/E00.log").startswith(shipped)


@pytest.mark.parametrize("crash", list(Crash))
def test_what_was_written_is_recovered_when_the_sender_is_lost(crash: Crash) -> None:
    sender, rng = Sender(), random.Random(crash.value)
    for number in range(6):
        sender.work(rng.randrange(1, 40))
        image = sender.far.crashed(crash, number)
        path = end_shipping(image, STANDBY, "E00")
        assert path == f"{STANDBY}/E00.log"
        recover(image, [STANDBY], [], "/restored")
        assert numbers(image, "/restored/mail.edb") == list(range(sender.done))


def test_a_receiver_that_comes_later_gets_the_current_log_from_its_begin() -> None:
    sender = Sender()
    sender.work(100)
    later = MemoryEnv()
    later.mkdir(STANDBY)
    for name in sender.env.listdir(FOLDER):
        if name.startswith("E000"):
            later.put(f"{STANDBY}/{name}", sender.env.get(f"{FOLDER}/{name}"))
    receiver = LogReceiver(later, STANDBY, "E00")
    sender.instance.context.log.emit_to(receiver.take)
    sender.work(200)
    receiver.close()
    end_shipping(later, STANDBY, "E00")
    recover(later, [STANDBY], [], "/restored")
    assert numbers(later, "/restored/mail.edb") == list(range(300))


@pytest.mark.parametrize("crash", [Crash.ALL_KEPT, Crash.ALL_LOST])
def test_a_receiver_that_begins_anew_keeps_what_it_had_until_it_has_more(crash: Crash) -> None:
    sender = Sender()
    sender.work(20)
    sender.receiver.close()
    far, images = Watched(), list[MemoryEnv]()
    far.root = sender.far.root
    far.moment = lambda kind, path: images.append(far.crashed(crash))
    sender.instance.context.log.emit_to(LogReceiver(far, STANDBY, "E00").take)
    assert len(images) > 2
    for image in images:
        end_shipping(image, STANDBY, "E00")
        recover(image, [STANDBY], [], "/restored")
        assert numbers(image, "/restored/mail.edb") == list(range(20))


def test_what_an_earlier_receiver_did_not_finish_is_not_the_end() -> None:
    """Its log came whole in another way; the sender is lost as the newest log is complete."""
    sender, far = Sender(), MemoryEnv()
    far.mkdir(STANDBY)
    log = sender.instance.context.log
    sender.work(20)
    first = LogReceiver(far, STANDBY, "E00")
    end = log.emit_to(first.take)
    end()
    first.close()
    while log.generation == first.generation:
        sender.work(1)
    for generation in range(1, log.generation):
        name = f"E00{generation:08X}.log"
        far.put(f"{STANDBY}/{name}", sender.env.get(f"{FOLDER}/{name}"))
    second = LogReceiver(far, STANDBY, "E00")
    log.emit_to(second.take)
    while second.generation == first.generation + 1:
        sender.work(1)
    second.close()
    far.remove(f"{STANDBY}/E00{second.generation:08X}.jsl")
    with pytest.raises(InvalidUse):
        end_shipping(far, STANDBY, "E00")
    recover(far, [STANDBY], [], "/restored")
    assert sender.done - len(numbers(far, "/restored/mail.edb")) in (0, 1)


def test_who_wants_no_more_is_told_no_more() -> None:
    sender = Sender()
    log = sender.instance.context.log
    told: list[LogData] = []
    end_first = log.emit_to(told.append)

    def once(piece: LogData) -> None:
        told.append(piece)
        if len(told) > 3:
            end_second()

    end_second = log.emit_to(once)
    end_first()
    sender.work(5)
    assert len(told) == 4
    end_first()
    log.emit_to(told.append)
    sender.work(1)
    assert len(told) == 6
    assert sender.pieces[-1] == told[-1]


def test_pieces_out_of_order_are_refused() -> None:
    sender = Sender()
    sender.work(60)
    second = next(i for i, piece in enumerate(sender.pieces) if piece.generation == 2)
    begin, *more = (p for p in sender.pieces if p.generation == 1 and not p.complete)
    for first, wrong in (
        (begin, more[2]),
        (begin, sender.pieces[second + 1]),
        (begin, begin._replace(generation=2)),
        (None, begin._replace(data=begin.data + b"x")),
        (begin, more[0]._replace(data=more[0].data[:-1])),
        (begin, more[0]._replace(data=bytes(70_000))),
        (None, more[0]),
        (None, begin._replace(complete=True)),
    ):
        env = MemoryEnv()
        env.mkdir(STANDBY)
        receiver = LogReceiver(env, STANDBY, "E00")
        if first is not None:
            receiver.take(first)
        before = env.files()
        with pytest.raises(LogSequenceBroken) as error:
            receiver.take(wrong)
        assert error.value.jet == Jet.errInvalidLogDataSequence
        assert env.files() == before


def test_pieces_may_come_again_and_a_log_may_begin_anew() -> None:
    sender = Sender()
    sender.work(60)
    env = MemoryEnv()
    env.mkdir(STANDBY)
    receiver = LogReceiver(env, STANDBY, "E00")
    begin, *more = (p for p in sender.pieces if p.generation == 1 and not p.complete)
    for piece in (begin, more[0], more[0], begin, *more):
        receiver.take(piece)
    two = next(p for p in sender.pieces if p.generation == 2)
    receiver.take(two)  # the end of the first one never came
    assert receiver.given_up == [1]
    assert env.listdir(STANDBY) == ["E0000000002.jsl"]


def test_there_must_be_something_shipped() -> None:
    env = MemoryEnv()
    env.mkdir(STANDBY)
    with pytest.raises(InvalidUse):
        end_shipping(env, STANDBY, "E00")
