"""What kind of ESE file a file is, and its header: as fields and as lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hotsplit.cli.values import header_fields, plain
from hotsplit.errors import Jet, NotEseFile
from hotsplit.ese.files.checkpointfile import CheckpointFile
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.flushmapfile import FlushMapFile
from hotsplit.ese.files.identify import FileKind, examine
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.files.streamfile import Pair, StreamFile, find_database, find_pair
from hotsplit.ese.format.attachments import Attachment, DbmsParameters
from hotsplit.ese.format.flushmap import CLEAN
from hotsplit.ese.format.header import DatabaseHeader, DbState
from hotsplit.ese.format.logheader import CIRCULAR_BEFORE, CIRCULAR_NOW, MADE_FROM_RESERVE

Lines = list[tuple[str, str]]
_STATES = {2: "Dirty Shutdown", 3: "Clean Shutdown"}


def inspect(env: Env, path: str) -> tuple[dict[str, Any], Lines]:
    """Return an entry for a file, with all fields of its header, and the same in words.

    Raises NotEseFile, and what reading a header raises.
    """
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


def _inspect_flush_map(env: Env, path: str) -> tuple[dict[str, Any], Lines]:
    with FlushMapFile.open(env, path) as file:
        header, pages = file.header, file.page_count
    low, target = header.gen_min_required, header.gen_min_required_target
    lines = [
        ("State", "clean" if header.flags & CLEAN else "in use when it was copied"),
        ("Version", f"{header.version}.{header.update_major}.{header.update_minor}"),
        ("Creation time", str(header.create_time)),
        ("Last Attach", str(header.attach_time)),
        ("Last Detach", str(header.detach_time)),
        ("Log Required Min.", f"{low} (0x{low:x}), next {target} (0x{target:x})"),
        ("Flush signature", str(header.flush_map_signature)),
        ("Of the database", str(header.header_flush_signature)),
        ("Pages", str(pages)),
    ]
    return {"header": header_fields(header), "pages": pages}, lines


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
        *_backup_lines(header),
        ("Repair Count", str(header.repair_count)),
    ]


def _backup_lines(header: DatabaseHeader) -> Lines:
    """Return the backups that the header tells of, with when they were made."""
    made = {
        "Previous Full Backup": header.backup_full_previous,
        "Previous Incremental Backup": header.backup_incremental_previous,
        "Previous Copy Backup": header.backup_copy_previous,
        "Previous Differential Backup": header.backup_differential_previous,
        "Current Full Backup": header.backup_full_current,
    }
    shown = {
        label: f"Log Gen: {one.low}-{one.high}, Mark: {one.mark}, {one.time}"
        if one.high
        else "none"
        for label, one in made.items()
    }
    always = ("Previous Full Backup", "Current Full Backup")
    return [(label, text) for label, text in shown.items() if text != "none" or label in always]


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
    FileKind.FLUSH_MAP: _inspect_flush_map,
}
