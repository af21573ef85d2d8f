"""The database header: two copies in front of page 1.

Source: format specification 1.2 (choosing a copy), 1.4 (fields), 1.5 (states).
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from hotsplit.errors import HeaderDamaged, Jet, NotEseFile, UnsupportedVersion
from hotsplit.ese.format.basics import LogPosition, LogTime
from hotsplit.ese.format.checksum import header_checksum
from hotsplit.ese.format.layout import U32, U64, Backup, Layout, Position, Sign, Time

MAGIC = 0x89ABCDEF
VERSION = 0x620
PAGE_SIZES = (2048, 4096, 8192, 16384, 32768)
_BACKUP_LOGS, _BACKUP_LOGS_AT = struct.Struct("<II"), 200  # of backup_full_current
_DEFAULT_PAGE_SIZE = 4096
_KEEPS_RESIZES = 110, 240  # first revision whose header keeps the last resize
_FILE_TYPES = (0, 1, 5)  # old files, databases, temporary databases
_OLD_VERSIONS = {
    0x1: Jet.errDatabase200Format,
    0x400: Jet.errDatabase400Format,
    0x500: Jet.errDatabase500Format,
    0x550: Jet.errDatabase500Format,
}


class DbState(IntEnum):
    """State of a database (1.5)."""

    JUST_CREATED = 1
    DIRTY_SHUTDOWN = 2
    CLEAN_SHUTDOWN = 3
    BEING_CONVERTED = 4
    FORCE_DETACH = 5
    INCREMENTAL_RESEED_IN_PROGRESS = 6
    DIRTY_AND_PATCHED_SHUTDOWN = 7
    REVERT_IN_PROGRESS = 8


class DatabaseHeader(Layout):
    """All fields of a header page. `raw` is the whole page; unknown bytes are kept.

    gen_min_required, gen_max_required: "Log Required", 0 when clean. gen_max_committed: the highest
    generation that could hold committed work. pre_redo_*: what they were before recovery began.
    """

    SIZE = 748
    checksum = U32(0)
    magic = U32(4)
    version = U32(8)
    attributes = U32(12)
    dbtime = U64(16)
    db_signature = Sign(24)
    state = U32(52)
    consistent = Position(56)
    consistent_time = Time(64)
    attach_time = Time(72)
    attach = Position(80)
    detach_time = Time(88)
    detach = Position(96)
    dbid = U32(104)
    log_signature = Sign(108)
    backup_full_previous = Backup(136)
    backup_incremental_previous = Backup(160)
    backup_full_current = Backup(184)
    flags = U32(208)
    objid_last = U32(212)
    major_version = U32(216)
    minor_version = U32(220)
    build_number = U32(224)
    service_pack = U32(228)
    update_major = U32(232)
    page_size_field = U32(236)
    repair_count = U32(240)
    repair_time = Time(244)
    stream_signature = Sign(252)
    dbtime_last_scrub = U64(280)
    scrub_time = Time(288)
    gen_min_required = U32(296)
    gen_max_required = U32(300)
    upgrade_55_format = U32(304)
    upgrade_free_pages = U32(308)
    upgrade_space_map_pages = U32(312)
    backup_snapshot_current = Backup(316)
    create_version = U32(340)
    create_update = U32(344)
    gen_max_create_time = Time(348)
    backup_type_full_previous = U32(356)
    backup_type_incremental_previous = U32(360)
    repair_count_old = U32(364)
    ecc_fix_success = U32(368)
    ecc_fix_success_time = Time(372)
    ecc_fix_success_old = U32(380)
    ecc_fix_fail = U32(384)
    ecc_fix_fail_time = Time(388)
    ecc_fix_fail_old = U32(396)
    bad_checksum = U32(400)
    bad_checksum_time = Time(404)
    bad_checksum_old = U32(412)
    gen_max_committed = U32(416)
    backup_copy_previous = Backup(420)
    backup_differential_previous = Backup(444)
    backup_type_copy_previous = U32(468)
    backup_type_differential_previous = U32(472)
    incremental_reseed_count = U32(476)
    incremental_reseed_time = Time(480)
    incremental_reseed_count_old = U32(488)
    page_patch_count = U32(492)
    page_patch_time = Time(496)
    page_patch_count_old = U32(504)
    sort_version = U64(508)
    scan_previous_time = Time(516)
    scan_start_time = Time(524)
    scan_highest_continuous = U32(532)
    gen_recovering = U32(536)
    extend_count = U32(540)
    extend_time = Time(544)
    shrink_count = U32(552)
    shrink_time = Time(556)
    last_reattach_time = Time(564)
    last_reattach = Position(572)
    trim_count = U32(580)
    header_flush_signature = Sign(584)
    flush_map_signature = Sign(612)
    gen_min_consistent = U32(640)
    update_minor = U32(644)
    engine_format_version = U32(648)
    scan_highest = U32(652)
    last_resize = Position(656)
    file_type = U32(667)
    gen_max_required_time = Time(672)
    pre_redo_min_consistent = U32(680)
    pre_redo_min_required = U32(684)
    rbs_header_signature = Sign(688)
    revert_count = U32(716)
    revert_from_time = Time(720)
    revert_to_time = Time(728)
    revert_page_count = U32(736)
    commit_before_revert = Position(740)

    @property
    def page_size(self) -> int:
        """Bytes of a page."""
        return self.page_size_field or _DEFAULT_PAGE_SIZE

    @property
    def has_trailer(self) -> bool:
        """A streaming backup copy, not yet restored: a trailer page follows the last page."""
        low, high = _BACKUP_LOGS.unpack_from(self.raw, _BACKUP_LOGS_AT)  # asked for at every read
        return bool(low) and not high

    def set_clean(self, position: LogPosition, now: LogTime) -> None:
        """Say that the database needs no log: closed at `position` (log specification 6.8)."""
        self.state = DbState.CLEAN_SHUTDOWN
        self.consistent = self.detach = position
        self.consistent_time = self.detach_time = now
        self.gen_min_required = self.gen_max_required = self.gen_max_committed = 0
        self.gen_min_consistent = self.gen_recovering = 0
        self.pre_redo_min_consistent = self.pre_redo_min_required = 0
        self.gen_max_required_time = self.gen_max_create_time = LogTime()
        self.note_resize(position)

    def note_resize(self, position: LogPosition) -> None:
        """Keep where the file was resized, if the revision of the format has room for it."""
        if (self.update_major, self.update_minor) >= _KEEPS_RESIZES:
            self.last_resize = position

    def sealed(self) -> bytes:
        """Return the header page with a fresh checksum."""
        self.checksum = header_checksum(self.raw)
        return bytes(self.raw)


class Choice(NamedTuple):
    """The header in use, which copy it is, and whether the other copy is good and the same."""

    header: DatabaseHeader
    copy: str
    other_is_good: bool
    copies_equal: bool


def choose_header(start: bytes) -> Choice:
    """Choose between the two copies at the start of a database (its first 65536 bytes).

    The primary wins whenever it is good. Raises HeaderDamaged (-1018) when both are bad.
    """
    for size in PAGE_SIZES:
        first, second = start[:size], start[size : 2 * size]
        good = _is_valid(first, size), _is_valid(second, size)
        if any(good):
            used, copy = (first, "primary") if good[0] else (second, "shadow")
            return Choice(DatabaseHeader(used), copy, all(good), first == second)
    # The engine has one error for both cases; a person wants to know which one is likely.
    marks = [start[at + 4 : at + 8] for at in (0, *PAGE_SIZES)]
    what = "Both copies of the database header are unusable"
    if MAGIC.to_bytes(4, "little") not in marks:
        what = "This is not an ESE database, or both copies of its header are destroyed"
    raise HeaderDamaged(what, position="offset 0")


def check_version(header: DatabaseHeader) -> None:
    """Raise NotEseFile or UnsupportedVersion unless this is a database that can be read."""
    if header.magic != MAGIC or header.file_type not in _FILE_TYPES or header.attributes:
        raise NotEseFile("The file is not an ESE database")
    if header.version != VERSION:
        jet = _OLD_VERSIONS.get(header.version, Jet.errInvalidDatabaseVersion)
        raise UnsupportedVersion(f"Database format {header.version:#x} is not supported", jet=jet)


def _is_valid(block: bytes, size: int) -> bool:
    if len(block) < size or block == bytes(size):
        return False
    header = DatabaseHeader(block)
    return header.page_size == size and header.checksum == header_checksum(block)
