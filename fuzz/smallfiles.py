"""Changes of checkpoints, flush maps, old logs, and of any file as mere bytes."""

from __future__ import annotations

from fuzz.chance import Chance
from fuzz.database import spoil_field
from hotsplit.ese.format.checkpoint import BLOCK_SIZE, Checkpoint
from hotsplit.ese.format.checksum import segment_checksum
from hotsplit.ese.format.flushmap import PAGE_HEADER, PAGE_SIZE, FlushMapHeader, FlushMapPage


def spoil_checkpoint(chance: Chance, data: bytearray) -> None:
    """Change a field or the list of databases of one copy or both."""
    if len(data) < 2 * BLOCK_SIZE or chance.once_in(8):
        spoil_bytes(chance, data)
        return
    block = Checkpoint(data[:BLOCK_SIZE])
    if chance.once_in(3):
        chance.spoil(block.raw, 679, 679 + 200)
    else:
        spoil_field(chance, block)
    sealed = block.sealed()
    for at in chance.choice(((0,), (BLOCK_SIZE,), (0, BLOCK_SIZE))):
        data[at : at + BLOCK_SIZE] = sealed


def spoil_flush_map(chance: Chance, data: bytearray) -> None:
    """Change the header or a page of the map."""
    pages = len(data) // PAGE_SIZE - 1
    if pages < 1 or chance.once_in(8):
        spoil_bytes(chance, data)
    elif chance.once_in(2):
        header = FlushMapHeader(data[:PAGE_SIZE])
        spoil_field(chance, header)
        data[:PAGE_SIZE] = header.sealed()
    else:
        number = chance.randrange(pages)
        at = (number + 1) * PAGE_SIZE
        page = FlushMapPage(data[at : at + PAGE_SIZE])
        if chance.once_in(2):
            spoil_field(chance, page)
        else:
            chance.spoil(page.raw, PAGE_HEADER, PAGE_SIZE)
        page.checksum = segment_checksum(page.raw, number)
        data[at : at + PAGE_SIZE] = page.raw


def spoil_bytes(chance: Chance, data: bytearray) -> None:
    """Change a file without regard to what is in it: cut, zero, fill, extend, flip."""
    if not data:
        data.extend(chance.blob(9000))
        return
    at = chance.randrange(len(data))
    kind = chance.randrange(6)
    if kind == 0:
        del data[at:]
    elif kind == 1:
        end = chance.randrange(at, len(data)) + 1
        data[at:end] = bytes(end - at)
    elif kind == 2:
        data.extend(chance.blob(70000))
    elif kind == 3:
        data[at] ^= 1 << chance.randrange(8)
    elif kind == 4:
        data[:] = chance.randbytes(len(data))
    else:
        chance.spoil(data, 0, len(data))
