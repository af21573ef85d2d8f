"""What an image of a crash must be, and how that is found out.

Promised: every durable commit is there; of the others a first part, each whole, in order; nothing
of transactions that were rolled back or open; trees, indexes and space in order.

Each image is opened, which recovers it; its rows are compared with the model, and the database is
checked against all rules. Images that are made of the same writes hold the same bytes: one of them
is looked at. Opening begins with the mending of torn pages; that is done to every image, and of
those whose files are equal then, one is recovered: what recovery does depends on files alone. Equal
pages after recovery are checked once. Part of those that are recovered is looked at thoroughly:
also through the engine's own cursors, and by a check that shares nothing with the project's. The
recovery of part of all images is interrupted in turn.
"""

from __future__ import annotations

import hashlib
import itertools
import random

from hotsplit.errors import HotsplitError, LogDamaged
from hotsplit.ese.check import integrity
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.pages.pagesafe import PageSafe
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.upkeep.leaks import reclaim
from hotsplit.ese.files.env import Env
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.recover import recover
from hotsplit.report import Reporter, Severity
from tests.ese.engine.crashes import FOLDER, PATH, Image, Rows, by_number
from tests.ese.engine.shape import check_database
from tests.memoryenv import Crash, Origin

LEAKED = "S34"
"""The rule that pages are in nobody's hands: a crash may leave that until they are reclaimed."""


class Interrupted(BaseException):
    """A recovery ends here. image: what it left."""

    def __init__(self, image: Image) -> None:
        super().__init__()
        self.image = image


class Judge:
    """Judges the images of one run.

    thorough: part of the images recovered that is looked at thoroughly. again: part of all images
    whose recovery is interrupted. tried: images so far; distinct: different ones; looked_at: those
    that were opened; reopened, undone, mended, copied, interrupted: what was done to them.
    """

    def __init__(self, settings: Settings, seed: int, thorough: float, again: float = 0.1) -> None:
        self.settings, self._chance = settings, random.Random(seed)
        self._thorough, self._again = thorough, again
        self.tried = self.distinct = self.looked_at = self.checked = 0
        self.undone = self.mended = self.reopened = self.copied = self.interrupted = 0
        self._known: dict[frozenset[tuple[str, Origin]], Rows | None] = {}
        self._recovered: dict[frozenset[tuple[str, int]], Rows | None] = {}
        self._sound: dict[bytes, Rows | None] = {}

    def check(self, image: Image) -> None:
        """Judge an image. AssertionError says where it came from."""
        self.tried += 1
        made_of = image.env.origins()
        try:
            if made_of in self._known:
                expect(self._known[made_of], image)
                return
            self.distinct += 1
            self._known[made_of] = self._judge(image)
        except Exception as error:
            raise AssertionError(f"{image.where}: {error!r}") from error

    def _judge(self, image: Image) -> Rows | None:
        """Open an image, unless one that is equal after its pages were mended was opened before."""
        if self._chance.random() < self._again:
            self._interrupt(image)
        safe = PageSafe(image.env, self.settings.folder, self.settings.base)
        safe.mend()
        self.mended += safe.mended
        files = image.env.files()
        files.pop(safe.path, None)  # of no more use
        # 64 bits that nobody can aim at are enough for the thousands of images of one run.
        content = frozenset((path, hash(data)) for path, data in files.items())
        if content not in self._recovered:
            thorough = self._chance.random() < self._thorough
            self._recovered[content] = self._look(image, thorough=thorough)
        return expect(self._recovered[content], image)

    def _interrupt(self, image: Image) -> None:
        """Crash once more while a copy of the image is recovered, and judge what that left."""
        env, left = image.env.image(Crash.ALL_KEPT, 0), self._chance.randrange(60)

        def moment(kind: str, path: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                crash = self._chance.choice(list(Crash))
                where = f"{image.where}, again before {kind} {path}, {crash}"
                again = env.image(crash, self._chance.randrange(1 << 30))
                raise Interrupted(Image(again, image.expected, where))

        env.moment = moment
        try:
            Instance.open(env, self.settings)
        except Interrupted as crash:
            self.interrupted += 1
            self.check(crash.image)

    def _look(self, image: Image, *, thorough: bool) -> Rows | None:
        self.looked_at += 1
        if thorough:
            self._recover_copy(image)
        instance = Instance.open(image.env, self.settings)
        safe = instance.context.cache.safe
        self.mended += safe.mended if safe is not None else 0
        if instance.restarted is not None:
            self.reopened += 1
            self.undone += instance.restarted.undone
        if None in image.expected:
            return self._look_at_begin(image)
        if thorough:
            return self._look_thoroughly(image, instance)
        data = image.env.get(PATH)
        pages = hashlib.sha256(memoryview(data)[2 * self.settings.page_size :]).digest()
        if pages not in self._sound:
            self._sound[pages] = expect(rows_on_disk(image), image)
            self._check_rules(image)
        return expect(self._sound[pages], image)

    def _look_at_begin(self, image: Image) -> Rows | None:
        """Look at an image of the time before there was a table for certain.

        Making a database is no transaction: what is left of one that was not complete has no rows.
        """
        try:
            found = rows_on_disk(image)
        except HotsplitError:
            return expect(None, image)
        if found is not None:
            self._check_rules(image)
        return expect(found, image)

    def _check_rules(self, image: Image) -> None:
        self.checked += 1
        check_rules(image.env, PATH)

    def _recover_copy(self, image: Image) -> None:
        """Recover the files as those of another machine: nothing of theirs may change."""
        env = image.env.image(Crash.ALL_KEPT, 0)
        if None in image.expected:
            return
        before = env.files(FOLDER)
        try:
            recover(env, [FOLDER], [], "/copy")
        except LogDamaged:  # its last write was interrupted
            if Crash.TORN not in image.where:
                raise
            return
        assert env.files(FOLDER) == before
        expect(rows_on_disk(Image(env, [], ""), "/copy/items.edb"), image)
        self.copied += 1

    def _look_thoroughly(self, image: Image, instance: Instance) -> Rows | None:
        with instance, instance.session() as session:
            database = instance.attach_database(PATH)
            table = session.open_table(database, "Items")
            found = by_number(table.rows())
            for index in ("by_size", "by_tags"):
                cursor, count = table.cursor(index), 0
                while cursor.move(1):
                    cursor.row()
                    count += 1
                assert count >= len(found)
            reclaim(session, database)
        shape = check_database(image.env, PATH)
        names = sum(row["Name"] is not None for row in found.values())
        live = [node for node in shape.nodes["Items/by_name"] if not node.flags & 2]
        assert len(live) == names
        self.checked += 1
        check_rules(image.env, PATH, but="")
        return expect(found, image)


def check_rules(env: Env, path: str, but: str = LEAKED) -> None:
    """Hold a clean database against all rules but one: no finding."""
    reporter = Reporter()
    integrity.check_database(env, path, reporter)
    found = [f for f in reporter.findings if f.severity != Severity.NOTE and f.rule != but]
    assert not found, found


def rows_on_disk(image: Image, path: str = PATH) -> Rows | None:
    """Return the rows that are in a clean database, None if there is no table."""
    with Database.open(image.env, path) as database:
        if "Items" not in database.tables():
            return None
        table = database.table("Items")
        names = [column.name for column in table.columns]
        rows = itertools.chain.from_iterable(batch.values() for batch in table.batches())
        return by_number(dict(zip(names, row, strict=True)) for row in rows)


def expect(found: Rows | None, image: Image) -> Rows | None:
    """Return the expected state that was found; AssertionError if it is none of them."""
    for state in image.expected:
        if state is found or state == found:
            return state
    raise AssertionError(_difference(found or {}, [rows or {} for rows in image.expected]))


def _difference(found: Rows, expected: list[Rows]) -> str:
    def odd(rows: Rows) -> list[int]:
        return [key for key in found.keys() | rows.keys() if found.get(key) != rows.get(key)]

    nearest = min(map(odd, expected), key=len)
    return f"{len(found)} rows, of {len(expected)} states the nearest differs in {nearest[:5]}"
