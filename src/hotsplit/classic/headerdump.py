"""``eseutil /mh``: the header of a database. Source: format specification 12."""

from __future__ import annotations

from collections.abc import Iterator

from hotsplit.classic.texts import ENGINE_VERSION, number_text, range_text
from hotsplit.errors import NotEseFile
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.streamfile import StreamFile
from hotsplit.ese.format.basics import NO_SIGNATURE, BackupInfo, LogTime
from hotsplit.ese.format.checksum import header_checksum
from hotsplit.ese.format.header import DatabaseHeader, DbState
from hotsplit.ese.format.patch import Trailer

_SHADOWING_OFF = 1
_DATABASE_TYPE = 1
_STATES = {
    DbState.JUST_CREATED: "Just Created",
    DbState.DIRTY_SHUTDOWN: "Dirty Shutdown",
    DbState.CLEAN_SHUTDOWN: "Clean Shutdown",
    DbState.BEING_CONVERTED: "Being Converted",
    DbState.INCREMENTAL_RESEED_IN_PROGRESS: "Incremental Reseed In Progress",
    DbState.DIRTY_AND_PATCHED_SHUTDOWN: "Dirty and Patched Shutdown",
    DbState.REVERT_IN_PROGRESS: "Database Revert in Progress",
}
_BACKUP_TYPES = {0: "", 1: " - OSSnapshot", 2: " - Snapshot"}


def open_headed(env: Env, path: str) -> DatabaseFile | StreamFile:
    """Open a file with the header of a database. Raises NotEseFile, HeaderDamaged, FileMissing."""
    try:
        return DatabaseFile.open(env, path)
    except NotEseFile:
        return StreamFile.open(env, path)


def header_lines(file: DatabaseFile | StreamFile, *, both: bool = False) -> Iterator[str]:
    """Yield the dump: of the copy that counts, or of both with what is wrong with them.

    Raises BackupNeedsRestore for a bad trailer page, in the middle of it.
    """
    trailer = file.trailer if isinstance(file, DatabaseFile) else None
    copies = [(file.choice.copy, file.header)]
    if both:
        size = len(file.header.raw)
        copies = [
            (copy, DatabaseHeader(file.file.pread(size, place * size).ljust(size, b"\0")))
            for place, copy in enumerate(("primary", "shadow"))
        ]
    for copy, header in copies:
        yield from _copy_lines(copy, header, trailer)
    yield ""
    yield from _warnings(file, trailer)


def _copy_lines(copy: str, header: DatabaseHeader, trailer: Trailer | None) -> Iterator[str]:
    yield ""
    yield f"DATABASE{' SHADOW' if copy == 'shadow' else ''} HEADER:"
    yield "Checksum Information:"
    yield f"Expected Checksum: 0x{header.checksum:08x}"
    yield f"  Actual Checksum: 0x{header_checksum(header.raw):08x}"
    yield ""
    yield "Fields:"
    yield from _identity(header)
    yield from _logs(header)
    yield from _history(header)
    yield from _backups(header)
    yield from _sizes(header)
    if header.file_type == _DATABASE_TYPE:
        yield from _maintenance(header)
    if trailer is not None:
        yield from _trailer(trailer)
    yield from _signatures(header, trailer)


def _field(label: str, value: object) -> str:
    return f"{label:>17}: {value}"


def _identity(header: DatabaseHeader) -> Iterator[str]:
    version, create = header.version, header.create_version
    yield _field("File Type", "UNKNOWN" if header.attributes else "Database")
    yield _field("Checksum", f"0x{header.checksum:x}")
    yield _field("Format ulMagic", f"0x{header.magic:x}")
    yield _field("Engine ulMagic", f"0x{header.magic:x}")
    update = f"0x{version:x},{header.update_major},{header.update_minor}"
    yield _field("Format ulVersion", f"{update}  (attached by {header.engine_format_version})")
    yield _field("Engine ulVersion", ENGINE_VERSION)
    yield _field("Created ulVersion", f"0x{create:x},{header.create_update}")
    yield _field("DB Signature", header.db_signature)
    yield _field("cbDbPage", header.page_size_field)
    yield _field("dbtime", number_text(header.dbtime))
    yield _field("State", state_text(header.state))


def state_text(state: int) -> str:
    """Return the state of a database in the words of the dump."""
    return _STATES.get(DbState(state), "Illegal") if state in list(DbState) else "Illegal"


def _logs(header: DatabaseHeader) -> Iterator[str]:
    required = range_text(header.gen_min_required, header.gen_max_required)
    before = number_text(header.pre_redo_min_required)
    consistent = number_text(header.gen_min_consistent)
    yield _field("Log Required", f"{required} [Min. Req. Pre-Redo: {before}]")
    yield f"Gen. Max. Req. Creation Time: {header.gen_max_required_time}"
    yield _field("Log Committed", range_text(0, header.gen_max_committed))
    yield f"Gen. Max. Com. Creation Time: {header.gen_max_create_time}"
    before = number_text(header.pre_redo_min_consistent)
    yield _field("Log Consistent", f"{consistent} [Pre-Redo: {before}]")
    yield _field("Log Recovering", number_text(header.gen_recovering))


def _history(header: DatabaseHeader) -> Iterator[str]:
    yield _field("Shadowed", "No" if header.flags & _SHADOWING_OFF else "Yes")
    yield _field("Last Objid", header.objid_last)
    yield _field("Scrub Dbtime", number_text(header.dbtime_last_scrub))
    yield _field("Scrub Date", header.scrub_time)
    yield _field("Repair Count", header.repair_count)
    yield _field("Repair Date", header.repair_time)
    yield _field("Old Repair Count", header.repair_count_old)
    yield _field("Last Consistent", f"{header.consistent}  {header.consistent_time}")
    yield _field("Last Attach", f"{header.attach}  {header.attach_time}")
    yield _field("Last Detach", f"{header.detach}  {header.detach_time}")
    yield _field("Last ReAttach", f"{header.last_reattach}  {header.last_reattach_time}")
    yield _field("Dbid", header.dbid)
    yield _field("Log Signature", header.log_signature)
    system = f"{header.major_version}.{header.minor_version}.{header.build_number}"
    sort, defined = divmod(header.sort_version, 1 << 32)
    yield _field("OS Version", f"({system} SP {header.service_pack} NLS {sort:x}.{defined:x})")
    counts = (
        *(header.incremental_reseed_count, header.incremental_reseed_count_old),
        *(header.page_patch_count, header.page_patch_count_old),
    )
    if any(counts):
        yield _field("Reseed Count", counts[0])
        yield _field("Reseed Date", header.incremental_reseed_time)
        yield _field("Old Reseed Count", counts[1])
        yield _field("Patch Count", counts[2])
        yield _field("Patch Date", header.page_patch_time)
        yield _field("Old Patch Count", counts[3])


def _backups(header: DatabaseHeader) -> Iterator[str]:
    kinds = (
        ("Previous Full", header.backup_full_previous, header.backup_type_full_previous),
        (
            "Previous Incremental",
            header.backup_incremental_previous,
            header.backup_type_incremental_previous,
        ),
        ("Previous Copy", header.backup_copy_previous, header.backup_type_copy_previous),
        (
            "Previous Differential",
            header.backup_differential_previous,
            header.backup_type_differential_previous,
        ),
        ("Current Full", header.backup_full_current, 0),
    )
    for title, info, kind in kinds:
        yield from _backup(f"{title} Backup:", info, kind)
    yield from _backup("Current Shadow copy backup:", header.backup_snapshot_current)


def _backup(title: str, info: BackupInfo, kind: int = 0) -> Iterator[str]:
    yield ""
    yield title
    suffix = _BACKUP_TYPES.get(kind, " - UNKNOWN")
    yield f"        Log Gen: {range_text(info.low, info.high)}{suffix}"
    yield f"           Mark: {info.mark}"
    yield f"           Mark: {info.time}"


def _sizes(header: DatabaseHeader) -> Iterator[str]:
    yield ""
    yield f"{'cpgUpgrade55Format':>23}: {header.upgrade_55_format}"
    yield f"{'cpgUpgradeFreePages':>23}: {header.upgrade_free_pages}"
    yield f"{'cpgUpgradeSpaceMapPages':>23}: {header.upgrade_space_map_pages}"
    same = {header.consistent: "Last Consistent", header.attach: "Last Attach"}
    name = same.get(header.last_resize)
    remark = f'(Matches "{name}", no subsequent resize)' if name else ""
    yield ""
    yield _field("Last Resize", f"{header.last_resize}  {remark}")
    yield ""
    yield _field("Extend Count", header.extend_count)
    yield _field("Extend Date", header.extend_time)
    yield ""
    yield _field("Shrink Count", header.shrink_count)
    yield _field("Shrink Date", header.shrink_time)
    yield ""
    yield _field("Trim Count", header.trim_count)


def _maintenance(header: DatabaseHeader) -> Iterator[str]:
    counted = (
        ("ECC Fix Success", header.ecc_fix_success, header.ecc_fix_success_time),
        ("Old ECC Fix Success", header.ecc_fix_success_old, None),
        ("ECC Fix Error", header.ecc_fix_fail, header.ecc_fix_fail_time),
        ("Old ECC Fix Error", header.ecc_fix_fail_old, None),
        ("Bad Checksum Error", header.bad_checksum, header.bad_checksum_time),
        ("Old bad Checksum Error", header.bad_checksum_old, None),
    )
    yield ""
    for name, count, when in counted:
        yield from _count(name, count, when)
    yield ""
    yield f"  Last Database Maintenance Finish Date: {header.scan_previous_time}"
    yield f"Current Database Maintenance Start Date: {header.scan_start_time}"
    yield f"      Highest Continuous Database Maintenance Page: {header.scan_highest_continuous}"
    yield f"      Highest Database Maintenance Page: {header.scan_highest}"


def _count(name: str, count: int, when: LogTime | None) -> Iterator[str]:
    yield f"{name + ' Count':>28}: {f'found ({count})' if count else 'none'}"
    if count and when is not None:
        yield f"{f'Last {name} Date':>28}: {when}"


def _trailer(trailer: Trailer) -> Iterator[str]:
    yield from _backup("Patch Current Full Backup:", trailer.backup)
    low, high, committed = (
        *(trailer.gen_min_required, trailer.gen_max_required),
        trailer.gen_max_committed,
    )
    times = trailer.gen_max_required_time, trailer.gen_max_create_time
    if low or high or committed or any(time.is_set for time in times):
        yield f"   Log Required: {range_text(low, high)}"
        yield (
            f"   Gen. Max. Req. Creation Time: {times[0]}  Log Committed: {number_text(committed)}"
        )
        yield f"  Gen. Max. Com. Creation Time: {times[1]}"


def _signatures(header: DatabaseHeader, trailer: Trailer | None) -> Iterator[str]:
    """Yield what pairs header and flush map; the original has lost it when there is a trailer."""
    signatures = (
        *(header.header_flush_signature, header.flush_map_signature),
        header.rbs_header_signature,
    )
    names = ("Database Header", "Flush Map Header", "RBS Header")
    yield ""
    for name, signature in zip(names, signatures, strict=True):
        yield f"{name:>17} Flush Signature: {signature if trailer is None else NO_SIGNATURE}"
    if trailer is None and (header.revert_count or header.revert_page_count):
        yield ""
        yield _field("Revert Count", header.revert_count)
        yield _field("Revert From Date", header.revert_from_time)
        yield _field("Revert To Date", header.revert_to_time)
        yield _field("Revert Page Count", header.revert_page_count)
        yield f"Last Commit Before Revert: {header.commit_before_revert}  "


def _warnings(file: DatabaseFile | StreamFile, trailer: Trailer | None) -> Iterator[str]:
    """Yield what is wrong with the copies; with a trailer the original finds them different."""
    choice = file.choice
    if not choice.copies_equal or trailer is not None:
        yield "WARNING: primary header and shadow header are not identical."
    if not choice.other_is_good:
        bad = "shadow" if choice.copy == "primary" else "primary"
        yield f"WARNING: {bad} header has a checksum error."
