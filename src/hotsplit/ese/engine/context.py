"""What the parts of one instance share: log, pages, versions, counters, one lock.

Whoever changes anything holds the lock; a wait for the log does not.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from hotsplit.errors import HotsplitError, InstanceDown
from hotsplit.ese.engine.changelock import ChangeLock
from hotsplit.ese.engine.journal import Journal
from hotsplit.ese.engine.log.awaiting import Awaiting
from hotsplit.ese.engine.log.files import LogFiles, log_disk_full
from hotsplit.ese.engine.log.holds import LogHolds
from hotsplit.ese.engine.log.writer import LogWriter, down
from hotsplit.ese.engine.pages.cache import Cache
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.trees.versions import VersionStore
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.basics import LogTime
from hotsplit.ese.recovery.core import Core

_TRX_STEP = 4
_RCEID_STEP = 2
_MASK = 0xFFFFFFFF


class Context:
    """See the module.

    lock: for those who change something, `looking` for those who only read; see `changelock`.
    safe_point: called with the lock whenever no operation is under way: housekeeping.
    ended: why the instance shut itself down, None if it did not.
    make_log_room: tries to get the logs out of a full disk; tells whether it did.
    on_over: called at the end of each transaction while the disk of the logs is full.
    """

    def __init__(self, env: Env, settings: Settings, core: Core | None = None) -> None:
        self.env, self.settings = env, settings
        self.lock = ChangeLock()
        self.looking = self.lock.looking
        self.files = LogFiles(env, settings)
        self.log = LogWriter(env, settings, self.files)
        self.awaiting = Awaiting(self.log)
        self.holds = LogHolds()
        self.core = core or Core(settings.page_size)
        self.cache = Cache(self.core, settings.page_size, settings.cache_size, self.log)
        self.journal = Journal(self.log, self.core, self.cache)
        self.versions = VersionStore()
        self.closed = False
        self.ended: HotsplitError | None = None
        self.safe_point: Callable[[], None] = lambda: None
        self.make_log_room: Callable[[], bool] = lambda: False
        self.on_over: Callable[[], None] = lambda: None
        self._trx = 0
        self._rceid = -1

    def next_trx(self) -> int:
        """Return a new transaction number (7.10)."""
        self._trx = (self._trx + _TRX_STEP) & _MASK
        return self._trx

    def next_rceid(self) -> int:
        """Return a new version number: odd, so never 0 (7.10)."""
        self._rceid = (self._rceid + _RCEID_STEP) & _MASK
        return self._rceid

    @property
    def following_rceid(self) -> int:
        """The version number that is next."""
        return (self._rceid + _RCEID_STEP) & _MASK

    def take_rceids(self, count: int) -> None:
        """Take the next version numbers."""
        self._rceid = (self._rceid + _RCEID_STEP * count) & _MASK

    def now(self) -> LogTime:
        """Return the time as files hold it."""
        return LogTime.from_datetime(self.env.now())

    def random(self) -> int:
        """Return a random number for a signature, never 0."""
        number: int = struct.unpack("<I", self.env.random(4))[0]
        return number or 1

    @property
    def failure(self) -> HotsplitError | None:
        """Why the instance cannot go on, None while all is well."""
        return self.log.failure

    def check(self) -> None:
        """Raise InstanceDown if the instance cannot go on."""
        if self.ended is not None:
            raise down("shut down", self.ended)
        self.log.check()
        if self.closed:
            raise InstanceDown("The instance is closed")

    def check_log_room(self) -> None:
        """Raise DiskFull (-529) if nothing new may begin: the disk of the logs is full."""
        if not self.files.low:
            return
        self.check()
        if not self.make_log_room():
            raise log_disk_full(self.files.current_path)
