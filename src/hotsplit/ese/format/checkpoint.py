"""The checkpoint: where replay can start. Two equal copies of one block.

Source: log specification 5.
"""

from __future__ import annotations

from typing import Self

from hotsplit.errors import CheckpointUnusable, Jet, LogDamaged
from hotsplit.ese.format.attachments import (
    LIST_SIZE,
    Attachment,
    Parameters,
    pack_attachments,
    parse_attachments,
)
from hotsplit.ese.format.checksum import header_checksum
from hotsplit.ese.format.layout import U8, U32, Layout, Position, Raw, Sign, Time

BLOCK_SIZE = 4096
FILE_SIZE = 2 * BLOCK_SIZE
FILE_TYPE = 4
_WITH_ATTACHMENTS = 1


class Checkpoint(Layout):
    """One 4096-byte copy.

    position: replay can start here. backup_position: the checkpoint at the last full backup.
    consistency: up to here the databases hold all changes.
    """

    SIZE = BLOCK_SIZE
    checksum = U32(0)
    backup_position = Position(4)
    position = Position(12)
    signature = Sign(20)
    parameters = Parameters(48)
    full_backup = Position(615)
    full_backup_time = Time(623)
    incremental_backup = Position(631)
    incremental_backup_time = Time(639)
    version = U8(647)
    consistency = Position(648)
    file_type = U32(667)
    attachments_raw = Raw(679, LIST_SIZE)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read and check one copy. Raises CheckpointUnusable (-533, or -1812 for another type)."""
        if len(data) < BLOCK_SIZE:
            raise CheckpointUnusable("The checkpoint is cut off")
        block = cls(data[:BLOCK_SIZE])
        if block.checksum != header_checksum(bytes(block.raw)) or not any(block.raw):
            raise CheckpointUnusable("The checkpoint fails its checksum")
        if block.file_type not in (0, FILE_TYPE):
            raise CheckpointUnusable(
                f"The file is of type {block.file_type}, not a checkpoint ({FILE_TYPE})",
                jet=Jet.errFileInvalidType,
            )
        return block

    def sealed(self) -> bytes:
        """Return the 4096 bytes with a fresh checksum."""
        self.checksum = header_checksum(bytes(self.raw))
        return bytes(self.raw)

    @property
    def has_attachments(self) -> bool:
        """The list of attached databases is kept in this file."""
        return bool(self.version & _WITH_ATTACHMENTS)

    @property
    def attachments(self) -> list[Attachment]:
        """Databases attached at the checkpoint. Raises CheckpointUnusable for a broken list."""
        try:
            return parse_attachments(self.attachments_raw)
        except LogDamaged as error:
            raise CheckpointUnusable(error.message) from error

    @attachments.setter
    def attachments(self, entries: list[Attachment]) -> None:
        self.attachments_raw = pack_attachments(entries)
        self.version |= _WITH_ATTACHMENTS
