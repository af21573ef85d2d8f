"""A workload on files in memory, and what a crash at any moment of it must leave.

`Run` works on a `Watched` environment, which lets a crash happen before any change of a file: as
often as told it takes the files as a machine would find them, in one of the ways of `Crash` or in
all of them. What each image must be is for `judge`.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hotsplit.errors import KeyDuplicate
from hotsplit.ese.engine.counters import Reason
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.engine.upkeep import maintenance
from hotsplit.ese.format.columns import Coltyp, Value
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
MAINTENANCE = [maintenance.defragment, maintenance.shrink, maintenance.scrub]
Rows = dict[int, dict[str, Value]]


class Watched(MemoryEnv):
    """Files in memory; `moment` is called before each change of a file.

    The clock goes on at every look: no two logs are created at the same time.
    """

    def __init__(self, ticks: int = 0) -> None:
        super().__init__()
        self.moment: Callable[[str, str], None] = lambda kind, path: None
        self._ticks = ticks

    def now(self) -> dt.datetime:
        """See `Env`."""
        self._ticks += 1
        return super().now() + dt.timedelta(milliseconds=self._ticks)

    def step(self, kind: str, path: str) -> None:
        if kind in CHANGING:
            self.moment(kind, path)

    def image(self, crash: Crash, seed: int) -> Watched:
        """Return the files after a crash now."""
        made = Watched(self._ticks)
        made.root = self.crashed(crash, seed).root
        return made


@dataclass
class Image:
    """What a crash left. expected: the states of which it must be one, None for no table yet."""

    env: Watched
    expected: Sequence[Rows | None]
    where: str


def write_some(instance: Instance, rng: random.Random, most: int) -> None:
    """Write some changed pages, any of them: nothing says in which order they have to go."""
    context = instance.context
    for dbid in instance.databases:
        dirty = context.core.dirty_pages(dbid)
        context.cache.write_out(dbid, rng.sample(dirty, min(most, len(dirty))), Reason.NORMAL)


class Run:
    """One workload from a seed.

    often: part of all moments at which a crash is tried. all_ways: in every way of `Crash`, not in
    one. check: is given each image. moments: changes of files so far.
    """

    def __init__(
        self, seed: int, often: float, *, all_ways: bool = False, mend: bool = True
    ) -> None:
        self.rng, self._chance = random.Random(seed), random.Random(seed + 1)
        self.seed, self._often, self._all_ways = seed, often, all_ways
        page_size = self.rng.choice((4096, 8192, 32768))
        self.settings = Settings(
            FOLDER,
            page_size=page_size,
            log_size=max(64 << 10, 4 * page_size),
            checkpoint_depth=self.rng.choice((64 << 10, 1 << 20)),
            cache_size=self.rng.choice((256 << 10, 64 << 20)),
            circular=self.rng.random() < 0.5,
            mend_torn_pages=mend,
        )
        self.env = Watched()
        self.env.mkdir(FOLDER)
        self.env.sync_dir("/")
        self.check: Callable[[Image], None] = lambda image: None
        self.moments = 0
        self._states: list[Rows | None] = [None]  # from the last durable one on

    # The workload

    def work(self, steps: int) -> None:
        """Work, crash and check."""
        self.env.moment = self._moment
        instance = Instance.open(self.env, self.settings)
        with instance, instance.session() as session:
            database = instance.create_database(PATH)
            self._states = [None, {}]
            table = session.create_table(database, "Items", COLUMNS, INDEXES)
            self._states = [{}]
            for _ in range(steps):
                if self.rng.random() < 0.1:
                    self.rng.choice(MAINTENANCE)(session, database)
                lazy, good = self.rng.random() < 0.6, self.rng.random() < 0.85
                rows = dict(self._states[-1] or {})
                session.begin()
                for _ in range(self.rng.choice((1, 3, 30))):
                    self._change(table, rows)
                if self.rng.random() < 0.15:
                    self._delete_many(table, rows)
                if self.rng.random() < 0.25:
                    self._insert_many(table, rows)
                if self.rng.random() < 0.1:
                    write_some(instance, self.rng, self.rng.randrange(1, 9))
                if not good:
                    session.rollback()
                    continue
                waits = not lazy and rows != self._states[-1]  # there is something to wait for
                self._states.append(rows)
                session.commit(lazy=lazy)
                if waits:
                    self._states = [rows]
        self.env.moment = lambda kind, path: None
        self._states = self._states[-1:]  # the clean end made all of it durable
        self.check(Image(self.env, self.expected, "at the end"))

    @property
    def expected(self) -> list[Rows | None]:
        """The states of which a crash now may leave any."""
        return list(self._states)

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
        elif what < 0.85:
            self._write_part(table, rows, known)
        elif what < 0.9:
            number = rng.randrange(1 << 20)
            if number not in rows:
                rows[number] = rows[known] | {"Id": number, "Name": None}
                table.copy(table.bookmark(known), {"Id": number, "Name": None})
        else:
            del rows[known]
            table.delete(table.bookmark(known))

    def _write_part(self, table: Table, rows: Rows, number: int) -> None:
        """Write over a part of a long value, behind its end, or cut it off."""
        body = rows[number]["Body"] or b""
        assert isinstance(body, bytes)
        place, data = self.rng.randrange(9000), self.rng.randbytes(self.rng.choice((1, 300, 5000)))
        with table.open_long(table.bookmark(number), "Body") as file:
            file.seek(place)
            file.write(data)
            body = body.ljust(place, b"\0")
            body = body[:place] + data + body[place + len(data) :]
            if self.rng.random() < 0.3:
                body = body[: file.truncate(self.rng.randrange(1, place + 1))]
        rows[number] = rows[number] | {"Body": body}

    def _delete_many(self, table: Table, rows: Rows) -> None:
        """Delete most of a range, so that leaves go or are joined."""
        known = sorted(rows)
        first = self.rng.randrange(len(known) + 1)
        for number in known[first : first + 80]:
            if self.rng.random() < 0.9:
                del rows[number]
                table.delete(table.bookmark(number))

    def _insert_many(self, table: Table, rows: Rows) -> None:
        """Insert rows behind all others, or between them; or none, as one is there already."""
        rng = self.rng
        known = rng.choice(list(rows)) if rows else 0
        first = rng.choice((max(rows, default=0) + 1, known, rng.randrange(1 << 20)))
        numbers = [n for n in range(first, first + rng.choice((3, 20, 60))) if n not in rows]
        rng.shuffle(numbers)
        new = {number: self._row(number) for number in numbers}
        if rows and rng.random() < 0.2:
            try:
                table.insert_many([*new.values(), self._row(known)])
            except KeyDuplicate:
                return
            raise AssertionError("A row that was there is there twice")
        assert table.insert_many(new.values()) == len(new)
        rows |= new

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
        self.moments += 1
        if self._chance.random() >= self._often:
            return
        ways = list(Crash) if self._all_ways else [self._chance.choice(list(Crash))]
        for crash in ways:
            where = f"seed {self.seed}, change {self.moments} ({kind} {path}), {crash}"
            env = self.env.image(crash, self._chance.randrange(1 << 30))
            try:
                self.check(Image(env, list(self._states), where))
            except AssertionError:
                self.env.moment = lambda kind, path: None
                raise


def by_number(rows: Iterable[Mapping[str, Value]]) -> Rows:
    """Return rows by their `Id`."""
    found = {}
    for row in rows:
        number = row["Id"]
        assert isinstance(number, int)
        found[number] = dict(row)
    return found
