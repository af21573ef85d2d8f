"""What the kernel's codes mean: the rule that is broken and the words for it.

In the texts `a` and `b` are the two numbers that come with a code.
"""

from __future__ import annotations

from hotsplit._native.integrity_codes import Code

_TEXTS: dict[str, tuple[str, str]] = {
    "TAGS": ("P13", "the tag array ({a} tags) overlaps the data"),
    "LINE_END": ("P13", "a line reaches beyond the used part of the page"),
    "LINE_OVERLAP": ("P13", "two lines overlap"),
    "FREE": ("P13", "the free space differs from what the header says"),
    "UNCOMMITTED": ("P13", "more bytes are free for later than are free at all"),
    "NO_LINES": ("P13", "the page has no external header"),
    "FLAGS_MIXED": ("P13", "the page is flagged as index and as long value"),
    "FLAGS_REPAIR": ("P13", "the page was left by an unfinished repair"),
    "FLAGS_PREINIT": ("P13", "the page was never filled"),
    "NODE": ("P13", "the node does not fit its line"),
    "NO_KEY": ("P13", "the node has no key"),
    "NO_DATA": ("P13", "the node has no data"),
    "OBJID": ("P14a", "the page belongs to object {a}, not to object {b}"),
    "DBTIME": ("P15", "the page has dbtime {a:#x}, the header only {b:#x}"),
    "ROOT_FLAG": ("T18a", "the root flag is wrong (flags {a:#x})"),
    "KIND": ("T18a", "the flags of the tree's kind are {a:#x}, not {b:#x}"),
    "EMPTY_FLAG": ("T18b", "the page is flagged as freed"),
    "NOT_LEAF": ("T20", "the page is no leaf, but its parent says so"),
    "NO_CHILDREN": ("T21", "an internal page has no children"),
    "CHILD_SIZE": ("T21", "a child pointer has {a} bytes"),
    "INTERNAL_FLAGS": ("T21", "a node of an internal page is flagged as deleted or versioned"),
    "INTERNAL_ORDER": ("T21", "the keys of an internal page do not ascend"),
    "INTERNAL_LINKS": ("T21", "an internal page has neighbours (pages {a} and {b})"),
    "NULL_KEY": ("T21", "an empty key that does not end the level"),
    "ABOVE": ("T22", "the last key is not below the key in the parent"),
    "BELOW": ("T22", "the first key is below the key in the parent"),
    "LAST_KEY": ("T22", "the last key is not the key in the parent"),
    "PREVIOUS": ("T23", "the page before is said to be {a}, but is {b}"),
    "NEXT": ("T23", "the page behind is said to be {a}, but is {b}"),
    "EMPTY_LEAF": ("T24", "the leaf has no nodes"),
    "ORDER": ("T25a", "the key is not above the one before"),
    "KEY_LENGTH": ("T25b", "the key is too long"),
    "PREFIX_LONG": ("T27", "the key shares more than the page's prefix"),
    "PREFIX_ONE": ("T27", "the key shares a single byte"),
    "LEAF_ABOVE": ("T20", "the leaf says that it is above leaves"),
    "SPACE_VERSION": ("S29", "a node of a space tree is flagged as versioned"),
    "TREE_GONE": ("T18a", "the root page is flagged as that of a deleted tree"),
    "RECORD_SIZE": ("R47", "the record has {a} bytes; 4 to {b} are possible"),
    "FIXED_LAST": ("R47", "the last fixed column is {a}; the table has {b}"),
    "FIXED_END": ("R47", "the fixed columns end at {a}, not at {b}"),
    "FIXED_SIZE": ("R47", "{a} fixed columns and their null bitmap cannot end at {b}"),
    "VAR_LAST": ("R48", "the last variable column is {a}; the table's last is {b}"),
    "VAR_ORDER": ("R48", "variable column {a} ends before it begins, or outside the record"),
    "VAR_NULL": ("R48", "variable column {a} is null but has {b} bytes"),
    "TAG_ARRAY": ("R49a", "the entries of tagged columns do not ascend or leave the record"),
    "TAG_ID": ("R49a", "there is no tagged column {a}"),
    "TAG_NULL": ("R49a", "tagged column {a} is null but has {b} bytes or a header byte"),
    "TAG_HEADER": ("R49a", "tagged column {a} cannot have the header byte {b:#x}"),
    "TAG_TWO": ("R49a", "the two values of tagged column {a} do not fit {b} bytes"),
    "TAG_MULTI": ("R49a", "the values of tagged column {a} overlap or leave their space"),
    "TAG_LONG": ("R49a", "tagged column {a} is no long value but points to one"),
    "TAG_LID": ("R49a", "tagged column {a} points to the impossible long value {b:#x}"),
    "TAG_SIZE": ("R49a", "a value of tagged column {a} has {b} bytes"),
    "TAG_UNKNOWN": ("R49b", "tagged column {a} is not in the catalog"),
    "TAG_KIND": ("R49b", "tagged column {a} has the header byte {b:#x} against the catalog"),
    "NOT_NULL": ("R50", "column {a} must not be null"),
    "KEY": ("R51", "the columns make another key ({a} bytes) than the record has ({b} bytes)"),
    "COMPRESSED": ("R52", "a value of tagged column {a} cannot be decompressed"),
    "BITMAP": ("R53a", "the last byte of the null bitmap is {a:#x}"),
    "AUTOINCREMENT": ("R53b", "autoincrement value {a}, but only {b} were handed out"),
    "NO_LONG_VALUES": ("L55", "column {a} points to long value {b:#x}; the table has none"),
    "LV_KEY": ("L54", "a key of {a} bytes"),
    "LV_ROOT": ("L54", "long value {a:#x}: the root node has {b} bytes"),
    "LV_NO_ROOT": ("L54", "long value {a:#x}: the chunk at {b} has no root node"),
    "LV_OFFSET": (
        "L54",
        "long value {a:#x}: a chunk at {b} is not at a multiple of the chunk size",
    ),
    "LV_GAP": ("L54", "long value {a:#x}: the chunk at {b} is not the next one"),
    "LV_SHORT": ("L54", "long value {a:#x} ends after {b} bytes"),
    "LV_CHUNK": ("L54", "long value {a:#x}: a chunk has {b} bytes"),
    "LV_ORPHAN": ("L56c", "long value {a:#x} counts no references any more"),
    "LV_HALF": ("L56c", "long value {a:#x} is partly deleted"),
    "LV_EXPAND": ("L57", "long value {a:#x}: the chunk at {b} cannot be decompressed"),
    "LV_WIDE": ("L58", "long value {a:#x} has a wide id"),
}


def explain(code: int, a: int, b: int) -> tuple[str, str]:
    """Return (rule id, message) of one report of the kernel."""
    rule, text = _TEXTS[Code(code).name]
    return rule, text.format(a=a, b=b)
