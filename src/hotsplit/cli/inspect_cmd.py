"""``hotsplit inspect``: what a file is, and its header."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from hotsplit.cli.output import Output
from hotsplit.cli.values import header_fields, plain
from hotsplit.errors import HotsplitError, Jet, NotEseFile
from hotsplit.ese.files.checkpointfile import CheckpointFile
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Env, OsEnv
from hotsplit.ese.files.identify import FileKind, examine
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.files.streamfile import Pair, StreamFile, find_database, find_pair
from hotsplit.ese.format.attachments import Attachment, DbmsParameters
from hotsplit.ese.format.header import DatabaseHeader, DbState
from hotsplit.ese.format.logheader import CIRCULAR_BEFORE, CIRCULAR_NOW, MADE_FROM_RESERVE

Lines = list[tuple[str, str]]
_STATES = {2: "Dirty Shutdown", 3: "Clean Shutdown"}


@click.command("inspect")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--json", is_flag=True, help="Print one JSON object.")
def command(paths: tuple[str, ...], json: bool) -> int:
    """Say what kind of ESE file each PATH is and show its header."""
    out = Output(json=json)
    env = OsEnv()
    files: list[dict[str, Any]] = []
    first: HotsplitError | None = None
    for path in paths:
        try:
            entry, lines = _inspect(env, path)
            _show(out, path, entry, lines)
        except HotsplitError as error:
            first = first or error
            entry = {"path": path, "error": error.as_json()}
            if not json:
                out.error(error)
        files.append(entry)
    out.emit({"files": files, "error": None if first is None else first.as_json()})
    return 0 if first is None else first.exit_status


def _inspect(env: Env, path: str) -> tuple[dict[str, Any], Lines]:
    identity = examine(env, path)
    reader = _READERS.get(identity.kind)
    if identity.kind == FileKind.UNKNOWN:
        raise NotEseFile("The file is not an ESE file", file=path)
    if identity.kind == FileKind.EMPTY:
        raise NotEseFile("The file is empty", jet=Jet.errFileIOBeyondEOF, file=path)
    entry: dict[str, Any] = {"path": path, "kind": str(identity.kind), "error": None}
    if reader is None:
        return entry, []
    fields, lines = reader(env, path)
    return entry | fields, lines


def _show(out: Output, path: str, entry: dict[str, Any], lines: Lines) -> None:
    out.line(f"{path}: {entry['kind']}", bold=True)
    for label, text in lines:
        out.line(f"  {label + ':':<26} {text}")
    out.line()


def _inspect_log(env: Env, path: str) -> tuple[dict[str, Any], Lines]:
    with LogFile.open(env, path) as log:
        header = log.header
        attached = header.attachments
    flags = header.flags
    lines = [
        ("Generation", f"{header.generation} (0x{header.generation:X})"),
        ("Creation time", str(header.created)),
        ("Previous log created", str(header.previous_created)),
        ("Previous log's checksum", f"0x{header.previous_checksum:016x}"),
        ("Format version", ".".join(map(str, header.version))),
        ("Signature", str(header.signature)),
        ("Page size", str(header.page_size)),
        ("File size", f"{header.file_size} ({header.file_sectors} x {header.sector_size})"),
        *_parameter_lines(header.parameters),
        ("From a reserve log", _yes(flags & MADE_FROM_RESERVE)),
        ("Circular logging", f"now {_yes(flags & CIRCULAR_NOW)}, "
         f"before {_yes(flags & CIRCULAR_BEFORE)}"),
        ("Checkpoint at creation", str(header.checkpoint)),
        *_attachment_lines(attached),
    ]  # fmt: skip
    fields = header_fields(header) | {"attachments": [plain(a) for a in attached]}
    return {"header": fields}, lines


def _inspect_checkpoint(env: Env, path: str) -> tuple[dict[str, Any], Lines]:
    found = CheckpointFile.read(env, path)
    block = found.checkpoint
    attached = block.attachments if block.has_attachments else []
    lines = [
        ("Checkpoint", str(block.position)),
        ("DbConsistency", str(block.consistency)),
        ("LastFullBackupCheckpoint", str(block.backup_position)),
        ("FullBackup", f"{block.full_backup}  {block.full_backup_time}"),
        ("IncBackup", f"{block.incremental_backup}  {block.incremental_backup_time}"),
        ("Signature", str(block.signature)),
        ("Copy in use", found.copy),
        *_parameter_lines(block.parameters),
        *_attachment_lines(attached),
        *((f.rule, f"{f.message} ({f.position})") for f in found.findings),
    ]
    fields = header_fields(block) | {"attachments": [plain(a) for a in attached]}
    findings = [f.as_json() for f in found.findings]
    return {"header": fields, "copy": found.copy, "findings": findings}, lines


def _inspect_database(env: Env, path: str) -> tuple[dict[str, Any], Lines]:
    file = DatabaseFile.open(env, path)
    header, copy = file.header, file.header_copy
    findings = [f.as_json() for f in file.reporter.findings]
    file.close()
    pair = find_pair(env, path, header)
    fields = header_fields(header) | {"state_name": state_name(header.state)}
    stream = {} if pair is None else {"streaming_file": pair._asdict()}
    return {"header": fields, "copy": copy, "findings": findings, **stream}, [
        *_database_lines(header),
        *_stream_lines(pair),
        ("Copy in use", copy),
    ]


def _inspect_stream(env: Env, path: str) -> tuple[dict[str, Any], Lines]:
    with StreamFile.open(env, path) as file:
        header, copy, pages = file.header, file.choice.copy, file.page_count
        database, problem = find_database(env, file)
    lines = [
        *_database_lines(header),
        ("Streaming Signature", str(header.stream_signature)),
        ("Data pages", f"{pages} (no headers, no checksums of their own)"),
        ("Database", database or problem),
        ("Copy in use", copy),
    ]
    fields = header_fields(header) | {"state_name": state_name(header.state)}
    return {"header": fields, "copy": copy, "pages": pages, "database": database,
            "problem": problem}, lines  # fmt: skip


def _stream_lines(pair: Pair | None) -> Lines:
    return [] if pair is None else [("Streaming File", pair.problem or pair.path or "")]


def _database_lines(header: DatabaseHeader) -> Lines:
    low, high = header.gen_min_required, header.gen_max_required
    committed = header.gen_max_committed
    backup = header.backup_full_current
    return [
        ("Format version", f"0x{header.version:x},{header.update_major},{header.update_minor}"),
        ("DB Signature", str(header.db_signature)),
        ("cbDbPage", str(header.page_size)),
        ("dbtime", f"{header.dbtime} (0x{header.dbtime:x})"),
        ("State", state_name(header.state)),
        ("Log Required", f"{low}-{high} (0x{low:x}-0x{high:x})"),
        ("Log Committed", f"0-{committed} (0x0-0x{committed:x})"),
        ("Log Consistent", f"{header.gen_min_consistent} (0x{header.gen_min_consistent:x})"),
        ("Last Objid", str(header.objid_last)),
        ("Last Consistent", f"{header.consistent}  {header.consistent_time}"),
        ("Last Attach", f"{header.attach}  {header.attach_time}"),
        ("Last Detach", f"{header.detach}  {header.detach_time}"),
        ("Log Signature", str(header.log_signature)),
        ("Current Full Backup", f"Log Gen: {backup.low}-{backup.high}, Mark: {backup.mark}"),
        ("Repair Count", str(header.repair_count)),
    ]


def state_name(state: int) -> str:
    """Return the name of a database state as the engine's tools print it."""
    if state in _STATES:
        return _STATES[state]
    known = state in list(DbState)
    return DbState(state).name.replace("_", " ").title() if known else f"Unknown ({state})"


def _parameter_lines(parameters: DbmsParameters) -> Lines:
    return [
        ("System path", parameters.system_path),
        ("Log path", parameters.log_path),
    ]


def _attachment_lines(attached: list[Attachment]) -> Lines:
    return [
        line
        for a in attached
        for line in (
            (f"Database {a.dbid}", a.path),
            ("  Signature", str(a.signature)),
            ("  dbtime", f"{a.dbtime} (0x{a.dbtime:x})"),
            ("  Last Attach", str(a.attach)),
            ("  Last Consistent", str(a.consistent)),
        )
    ]


def _yes(flag: int) -> str:
    return "on" if flag else "off"


_READERS: dict[FileKind, Callable[[Env, str], tuple[dict[str, Any], Lines]]] = {
    FileKind.LOG: _inspect_log,
    FileKind.CHECKPOINT: _inspect_checkpoint,
    FileKind.DATABASE: _inspect_database,
    FileKind.STREAMING: _inspect_stream,
}
