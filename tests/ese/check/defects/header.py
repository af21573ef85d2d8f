"""Defects of the header, the file, what lies beside it."""

from __future__ import annotations

from tests.ese.check.defects.pages import middle_leaf
from tests.ese.check.defects.registry import breaks
from tests.ese.check.planted import Planter


@breaks("H2")
def one_header_copy_is_damaged(db: Planter) -> None:
    db.data[db.size + 100] ^= 0xFF


@breaks("H2")
def header_copies_differ(db: Planter) -> None:
    header = db.header()
    header.build_number += 1
    db.set_header_copy(1, header)


@breaks("H4")
def not_shut_down_cleanly(db: Planter) -> None:
    header = db.header()
    header.state = 2
    db.set_header(header)


@breaks("H5")
def creation_never_completed(db: Planter) -> None:
    header = db.header()
    header.state = 77
    db.set_header(header)


@breaks("H5")
def clean_but_logs_are_required(db: Planter) -> None:
    header = db.header()
    header.gen_min_required = 5
    db.set_header(header)


@breaks("H6")
def part_of_a_page_at_the_end(db: Planter) -> None:
    db.data += b"\0" * 100


@breaks("H7b")
def pages_behind_the_end(db: Planter) -> None:
    db.data += bytes(3 * db.size)


@breaks("H7a")
def file_cut_short(db: Planter) -> None:
    """Within the free pages at the end."""
    del db.data[-5 * db.size :]


@breaks("H8")
def no_signature(db: Planter) -> None:
    header = db.header()
    header.db_signature = type(header.db_signature)()
    db.set_header(header)


@breaks("H9")
def write_that_was_lost(db: Planter) -> None:
    """The flush map knows of one more write of a page."""
    db.map_flushes(wrong=middle_leaf(db).number)


@breaks()
def flush_map_that_agrees(db: Planter) -> None:
    db.map_flushes()


@breaks()
def flush_map_of_another_state_of_the_database(db: Planter) -> None:
    db.map_flushes(wrong=middle_leaf(db).number)
    header = db.header()
    header.flush_map_signature = type(header.flush_map_signature)()
    db.set_header(header)


@breaks()
def flush_map_that_is_damaged(db: Planter) -> None:
    db.map_flushes(wrong=middle_leaf(db).number)
    db.flush_map = db.flush_map[:5000]


@breaks("H10")
def streaming_file_is_not_there(db: Planter) -> None:
    header = db.header()
    header.flags |= 0x04
    db.set_header(header)
