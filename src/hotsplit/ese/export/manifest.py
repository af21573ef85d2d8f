"""The manifest of an export: the file beside the tables that says what is in them.

It says which tables are finished, so an export that was broken off goes on where it was;
``complete`` is true only when all of them are.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
from dataclasses import dataclass, field
from typing import Any

from hotsplit.errors import HotsplitError, TargetExists
from hotsplit.ese.export.files import PART, replaced
from hotsplit.ese.export.writers import Format
from hotsplit.ese.files.env import Env
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.labels import State
from hotsplit.report import json_text

MANIFEST = "export.json"
_HEADER_BYTES = 65536


@dataclass(frozen=True)
class Plan:
    """What to export, and how.

    tables: names, all that are not the engine's own if empty. columns: only these, if one table
    is named. profile: see `profiles.choose`. system: the engine's own tables too.
    columns_per_file: see `write_table`.
    """

    form: Format
    tables: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    include: tuple[State, ...] = ()
    profile: str = "auto"
    system: bool = False
    columns_per_file: int = 0


@dataclass
class Result:
    """What came of one table. error: as JSON, if it could not be exported to the end.

    files: the names of all files if its columns lie in several; `file` would be that of one.
    """

    table: str
    title: str
    file: str
    rows: int = 0
    columns: list[dict[str, Any]] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    finding_count: int = 0
    seconds: float = 0.0
    error: dict[str, Any] | None = None
    kept: bool = False
    files: list[str] = field(default_factory=list)


def identity(env: Env, db: Database) -> dict[str, Any]:
    """Return what tells this database, in this state, from any other."""
    try:
        file = env.open(db.path, "read")
    except HotsplitError:
        return {"file": db.path}
    try:
        digest = hashlib.sha256(file.pread(_HEADER_BYTES, 0)).hexdigest()
        return {"file": db.path, "size": file.size(), "header_sha256": digest, "state": db.state}
    finally:
        file.close()


class Manifest:
    """The file in an export's folder that says what is in it."""

    def __init__(self, env: Env, folder: str, source: dict[str, Any], plan: Plan) -> None:
        self._env, self._folder = env, folder
        self._path = f"{folder}/{MANIFEST}"
        self._head: dict[str, Any] = {
            "hotsplit": importlib.metadata.version("hotsplit"),
            "source": source,
            "format": plan.form,
            "columns": list(plan.columns),
            "include": [str(state) for state in plan.include],
            "profile": plan.profile,
            **({"columns_per_file": plan.columns_per_file} if plan.columns_per_file else {}),
        }
        self._entries: dict[str, str] = {}  # JSON by table

    def load(self) -> dict[str, Result]:
        """Return the finished tables of an earlier run of the same export.

        Raises TargetExists if the folder holds something else.
        """
        env = self._env
        if not env.exists(self._folder):
            return {}
        raw = self._read()
        if raw is None:
            if env.listdir(self._folder):
                raise TargetExists("The folder is not empty", file=self._folder)
            return {}
        if any(raw.get(key) != value for key, value in self._head.items()):
            raise TargetExists(
                "The folder holds another export: of another database, state or format",
                file=self._folder,
                hint="Choose a new folder, or replace it with --overwrite.",
            )
        return {entry["table"]: Result(**entry) for entry in raw["tables"] if self._is_there(entry)}

    def _is_there(self, entry: dict[str, Any]) -> bool:
        there = all(self._env.exists(f"{self._folder}/{file}") for file in _files_of(entry))
        return entry["error"] is None and there

    def _files(self) -> set[str]:
        """Return the names of the files that the manifest lists, whoever wrote it."""
        entries = (self._read() or {"tables": []})["tables"]
        with contextlib.suppress(AttributeError, KeyError, TypeError):
            return {file for entry in entries for file in _files_of(entry)} - {MANIFEST}
        return set()

    def _read(self) -> dict[str, Any] | None:
        if not self._env.exists(self._path):
            return None
        file = self._env.open(self._path, "read")
        try:
            raw = json.loads(file.pread(file.size(), 0))
        except ValueError:
            return None
        finally:
            file.close()
        return raw if isinstance(raw, dict) and isinstance(raw.get("tables"), list) else None

    def begin(self, done: dict[str, Result]) -> None:
        """Make the folder ready.

        What an earlier run left half done goes away, and its tables that are not `done`: files of
        two exports would pass for one.
        """
        self._env.mkdir(self._folder)
        old = self._files() - {file for result in done.values() for file in _files_of(vars(result))}
        for name in self._env.listdir(self._folder):
            if name.endswith(PART) or name in old:
                self._env.remove(f"{self._folder}/{name}")
        self._entries = {name: _entry(result) for name, result in done.items()}
        self._write(complete=False)

    def add(self, result: Result) -> None:
        """Enter a table."""
        self._entries[result.table] = _entry(result)
        self._write(complete=False)

    def finish(self, complete: bool, findings: list[dict[str, Any]]) -> None:
        """Say that this was all. findings: damage in what describes the tables."""
        self._head["findings"] = findings
        self._write(complete=complete)

    def _write(self, *, complete: bool) -> None:
        head = json_text({**self._head, "complete": complete})
        tables = ",\n".join(self._entries.values())
        with replaced(self._env, self._path) as file:
            file.write(f'{head[:-1]},\n"tables": [\n{tables}\n]}}\n'.encode())


def _files_of(entry: dict[str, Any]) -> list[str]:
    return entry.get("files") or [entry["file"]]


def _entry(result: Result) -> str:
    return json_text(vars(result))
