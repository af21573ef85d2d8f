"""`restore.env`: what a restore was made of, in the folder of the restored databases.

A text of sections and values. It has what the file of that name of Microsoft's backup client
library says, but not its form, which is not known: the two cannot be exchanged.

Source: log specification 8.10.
"""

from __future__ import annotations

import configparser
import io
from dataclasses import dataclass, field

from hotsplit.errors import DataDamaged, Jet
from hotsplit.ese.files.env import Env

NAME = "restore.env"
_HEAD = "# What hotsplit restored here. Not the format of Microsoft's backup client library.\n"
_RESTORE, _DATABASE = "restore", "database "
_LARGEST = 1 << 20


@dataclass(frozen=True)
class RestoredDatabase:
    """One database: its name in the set, the file it came from, where it lies now."""

    name: str
    source: str
    target: str
    signature: str


@dataclass(frozen=True)
class RestoreEnv:
    """See the module. low, high: generations that were replayed, 0 for none. time: ISO 8601, UTC.

    sets: folders that it was restored from. base: of the new log stream.
    """

    sets: list[str]
    folder: str
    base: str
    low: int
    high: int
    time: str
    databases: list[RestoredDatabase] = field(default_factory=list)

    def write(self, env: Env) -> None:
        """Write the file; durable on return."""
        text = configparser.ConfigParser(interpolation=None)
        text[_RESTORE] = {
            "sets": "\n".join(self.sets),
            "folder": self.folder,
            "base": self.base,
            "generations": f"{self.low}-{self.high}",
            "time": self.time,
            "status": "ended",
        }
        for number, one in enumerate(self.databases, 1):
            text[f"{_DATABASE}{number}"] = {
                "name": one.name,
                "source": one.source,
                "target": one.target,
                "signature": one.signature,
            }
        content = io.StringIO(_HEAD)
        content.seek(0, io.SEEK_END)
        text.write(content)
        file = env.open(f"{self.folder}/{NAME}", "create")
        try:
            file.pwrite(content.getvalue().encode("utf-8", "surrogateescape"), 0)
            file.sync()
        finally:
            file.close()
        env.sync_dir(self.folder)

    @classmethod
    def read(cls, env: Env, folder: str) -> RestoreEnv:
        """Read the file of a folder. Raises FileMissing, DataDamaged."""
        path = f"{folder}/{NAME}"
        file = env.open(path, "read")
        try:
            content = file.pread(min(file.size(), _LARGEST), 0)
        finally:
            file.close()
        text = configparser.ConfigParser(interpolation=None)
        try:
            text.read_string(content.decode("utf-8", "surrogateescape"))
            told = text[_RESTORE]
            low, high = map(int, told["generations"].split("-"))
            databases = [
                RestoredDatabase(one["name"], one["source"], one["target"], one["signature"])
                for name, one in text.items()
                if name.startswith(_DATABASE)
            ]
            sets = told["sets"].split("\n")
            return cls(sets, told["folder"], told["base"], low, high, told["time"], databases)
        except (configparser.Error, KeyError, ValueError) as error:
            raise DataDamaged(
                f"This is no {NAME} of hotsplit: {error}", jet=Jet.errInvalidParameter, file=path
            ) from error
