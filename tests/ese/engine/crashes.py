"""A workload on files in memory, and what a crash at any moment of it must leave.

`Run` works on a `Watched` environment, which lets a crash happen before any change of a file: as
often as told it takes the files as a machine would find them, in one of the ways of `Crash`. Each
image is opened (which recovers it), compared with the model and checked; the recovery of some is
interrupted in turn.

Promised: every durable commit is there; of the others a first part, each whole, in order; nothing
of transactions that were rolled back or open; trees, indexes and space in order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema import Column, Index
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.table import Table
from hotsplit.ese.format.columns import Coltyp, Value
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.recover import recover
from tests.ese.engine.shape import check_database
from tests.faultenv import CHANGING
from tests.memoryenv import Crash, MemoryEnv

FOLDER = "/sg"
PATH = f"{FOLDER}/items.edb"

COLUMNS = [
    Column("Id", Coltyp.LONG, not_null=True),
    Column("Size", Coltyp.LONG),
    Column("Name", Coltyp.TEXT, code_page=1252),
    Column("Tags", Coltyp.TEXT, code_page=1252, multi_valued=True),
    Column("Body", Coltyp.LONG_BINARY),
]
INDEXES = [
    Index("pk", ["Id"], primary=True),
    Index("by_size", ["-Size"]),
    Index("by_name", ["Name"], unique=True, nulls=False),
    Index("by_tags", ["Tags"]),
]
Rows = dict[int, dict[str, Value]]


class Watched(MemoryEnv):
    """Files in memory; `moment` is called before each change of a file."""

    def __init__(self) -> None:
        super().__init__()
        self.moment: Callable[[str, str], None] = lambda kind, path: None

    def step(self, kind: str, path: str) -> None:
        if kind in CHANGING:
            self.moment(kind, path)

    def image(self, crash: Crash, seed: int) -> Watched:
        """Return the files after a crash now."""
        made = Watched()
        made.root = self.crashed(crash, seed).root
        return made


@dataclass
class Image:
    """What a crash left. expected: the states of which it must be one."""

    env: Watched
    expected: list[Rows]
    where: str


class Run:
    """One workload from a seed. often: part of all moments at which a crash is tried."""

    def __init__(self, seed: int, often: float, again: float = 0.1, *, mend: bool = True) -> None:
        self.rng, self._chance = random.Random(seed), random.Random(seed + 1)
        self.seed, self._often, self._again = seed, often, again
        self.settings = Settings(
            FOLDER,
            page_size=self.rng.choice((4096, 8192, 32768)),
            log_size=64 << 10,
            checkpoint_depth=self.rng.choice((64 << 10, 1 << 20)),
            cache_size=self.rng.choice((256 << 10, 64 << 20)),
            circular=self.rng.random() < 0.5,
            mend_torn_pages=mend,
        )
        self.env = Watched()
        self.env.mkdir(FOLDER)
        self.env.sync_dir("/")
        self.tried = self.undone = self.mended = self.reopened = self.copied = 0
        self._moments = 0
        self._states: list[Rows] = [{}]  # from the last durable one on

    # The workload

    def work(self, steps: int) -> None:
        """Work, crash and check."""
        instance = Instance.open(self.env, self.settings)
        with instance, instance.session() as session:
            database = instance.create_database(PATH)
            table = session.create_table(database, "Items", COLUMNS, INDEXES)
            self.env.moment = self._moment
            for _ in range(steps):
                lazy, good = self.rng.random() < 0.6, self.rng.random() < 0.85
                rows = dict(self._states[-1])
                session.begin()
                for _ in range(self.rng.choice((1, 3, 30))):
                    self._change(table, rows)
                if self.rng.random() < 0.1:
                    instance.context.cache.clean_below(1 << 62, self.rng.randrange(1, 9))
                if not good:
                    session.rollback()
                    continue
                waits = not lazy and rows != self._states[-1]  # there is something to wait for
                self._states.append(rows)
                session.commit(lazy=lazy)
                if waits:
                    self._states = [rows]
            self.env.moment = lambda kind, path: None
        self.check(Image(self.env, self._states[-1:], "at the end"))

    def _change(self, table: Table, rows: Rows) -> None:
        rng = self.rng
        known = rng.choice(list(rows)) if rows else 0
        what = rng.random()
        if what < 0.6 or not rows:
            number = rng.randrange(1 << 20)
            if number not in rows:
                rows[number] = self._row(number)
                table.insert(rows[number])
        elif what < 0.8:
            new = self._row(known)
            part = {name: new[name] for name in rng.sample(list(new), 2)}
            rows[known] = rows[known] | part
            table.update(table.bookmark(known), part)
        else:
            del rows[known]
            table.delete(table.bookmark(known))

    def _row(self, number: int) -> dict[str, Value]:
        rng = self.rng
        tags: Value = [f"tag {n}" for n in range(rng.randrange(3))]
        size = rng.choice((0, 20, 20, 300, 5000))
        return {
            "Id": number,
            "Size": rng.randrange(100),
            "Name": f"name {number}" if rng.random() < 0.8 else None,
            "Tags": tags or None,
            "Body": rng.randbytes(size) if size else None,
        }

    # Crashes

    def _moment(self, kind: str, path: str) -> None:
        self._moments += 1
        if self._chance.random() >= self._often:
            return
        crash = self._chance.choice(list(Crash))
        where = f"seed {self.seed}, change {self._moments} ({kind} {path}), {crash}"
        env = self.env.image(crash, self._chance.randrange(1 << 30))
        self.check(Image(env, list(self._states), where))

    def check(self, image: Image) -> None:
        """Open an image and compare. AssertionError says where it came from."""
        self.tried += 1
        if self._chance.random() < self._again:
            image.env.moment = self._interrupt(image)
        try:
            self._check(image)
        except Exception as error:
            raise AssertionError(f"{image.where}: {error!r}") from error

    def _interrupt(self, image: Image) -> Callable[[str, str], None]:
        """Crash once more while the image is being recovered."""
        counts = [self._chance.randrange(60)]

        def moment(kind: str, path: str) -> None:
            counts[0] -= 1
            if counts[0] == 0:
                crash = self._chance.choice(list(Crash))
                env = image.env.image(crash, self._chance.randrange(1 << 30))
                where = f"{image.where}, again before {kind} {path}, {crash}"
                self.check(Image(env, image.expected, where))

        return moment

    def _recover_copy(self, image: Image) -> None:
        """Recover the files as those of another machine: nothing of theirs may change."""
        env = image.env.image(Crash.ALL_KEPT, 0)
        before = env.files(FOLDER)
        recover(env, [FOLDER], [], "/copy")
        assert env.files(FOLDER) == before
        with Database.open(env, "/copy/items.edb") as database:
            found = by_number(database.table("Items").rows())
        assert found in image.expected, _difference(found, image.expected)
        self.copied += 1

    def _check(self, image: Image) -> None:
        if Crash.TORN not in image.where and self._chance.random() < self._again:
            self._recover_copy(image)
        with Instance.open(image.env, self.settings) as instance, instance.session() as session:
            safe = instance.context.cache.safe
            self.mended += safe.mended if safe is not None else 0
            if instance.restarted is not None:
                self.reopened += 1
                self.undone += instance.restarted.undone
            table = session.open_table(instance.attach_database(PATH), "Items")
            found = by_number(table.rows())
            assert found in image.expected, _difference(found, image.expected)
            for index in ("by_size", "by_tags"):
                cursor, count = table.cursor(index), 0
                while cursor.move(1):
                    cursor.row()
                    count += 1
                assert count >= len(found)
        shape = check_database(image.env, PATH)
        names = sum(row["Name"] is not None for row in found.values())
        live = [node for node in shape.nodes["Items/by_name"] if not node.flags & 2]
        assert len(live) == names


def by_number(rows: Iterable[Mapping[str, Value]]) -> Rows:
    """Return rows by their `Id`."""
    found = {}
    for row in rows:
        number = row["Id"]
        assert isinstance(number, int)
        found[number] = dict(row)
    return found


def _difference(found: Rows, expected: list[Rows]) -> str:
    def odd(rows: Rows) -> list[int]:
        return [key for key in found.keys() | rows.keys() if found.get(key) != rows.get(key)]

    nearest = min(map(odd, expected), key=len)
    return f"{len(found)} rows, of {len(expected)} states the nearest differs in {nearest[:5]}"
