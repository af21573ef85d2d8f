"""Streaming backup: the protocol between an instance and whoever keeps the bytes.

    with Backup(instance, Kind.FULL) as backup:
        for reader in backup.databases:
            keep(reader.database.path, reader.chunks())
        for generation in backup.prepare_logs():
            keep(backup.log_name(generation), backup.read_log(generation))
        ...  # make all that durable
        backup.finish()

Nothing stops meanwhile. Several backups may be under way: each holds the logs that it will need.
Only `finish` stamps headers and deletes logs; a backup that ends otherwise leaves no trace but
records in the log that replay passes over.

Source: log specification 8.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hotsplit.errors import InvalidUse, Jet
from hotsplit.ese.backup.base import RunningBackup, out_of_turn
from hotsplit.ese.backup.databasereader import BATCH, DatabaseReader
from hotsplit.ese.backup.kinds import Kind
from hotsplit.ese.backup.logreader import read_log
from hotsplit.ese.engine.database import OpenDatabase
from hotsplit.ese.engine.instance import Instance
from hotsplit.report import Reporter


class Backup(RunningBackup):
    """One streaming backup. databases: readers, none for a backup of logs alone.

    Pages that were corrected are told to `reporter`.
    """

    def __init__(
        self,
        instance: Instance,
        kind: Kind = Kind.FULL,
        databases: Sequence[OpenDatabase] | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        super().__init__(instance, kind, databases)
        reporter = reporter or Reporter()
        copied = self.covered if kind.has_databases else []
        self.databases = [DatabaseReader(d, self.info, reporter, instance.watch) for d in copied]
        self._unread: set[int] | None = None

    def prepare_logs(self) -> range:
        """Begin a new log; return the generations that belong to the backup, all closed.

        Raises InvalidUse (-521) unless all databases were read, or for a second time; LogsMissing
        (-569) if the logs do not join on to the backup before.
        """
        with self.context.lock:
            self.check()
            if self._unread is not None:
                raise out_of_turn("The logs were prepared before")
            if not all(reader.complete for reader in self.databases):
                raise out_of_turn("Not all databases were read to the end")
            generations = self.begin_log()
            self._unread = set(generations)
            return generations

    def read_log(self, generation: int) -> Iterator[bytes]:
        """Yield a log. Raises what `logreader.read_log` raises, and InvalidUse (-521)."""
        self.check()
        if self._unread is None:
            raise out_of_turn("The logs were not prepared")
        files = self.context.files
        path = files.archive_path(generation)
        yield from read_log(self.context.env, path, files.signature, BATCH)
        self._unread.discard(generation)

    def _check_complete(self) -> None:
        if self._unread is None:
            raise out_of_turn("The logs were not read")
        if self._unread:
            raise InvalidUse(f"Log {min(self._unread)} was not read", jet=Jet.errLogFileNotCopied)
