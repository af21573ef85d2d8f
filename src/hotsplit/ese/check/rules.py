"""The rules of the integrity check, as data.

Ids are those of the format specification, 13.1: the letter of the group and the number in the list;
a small letter where one number of the list makes several rules of different weight.
"""

from __future__ import annotations

from dataclasses import dataclass

from hotsplit.errors import Jet
from hotsplit.report import Severity

GROUPS = {
    "H": "Header and file",
    "P": "Pages in use",
    "T": "Trees",
    "S": "Space",
    "C": "Catalog",
    "R": "Records",
    "L": "Long values",
    "X": "Secondary indexes",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. jet: the error that the engine gives for a breach, if it gives one."""

    id: str
    title: str
    severity: Severity
    jet: Jet | None
    meaning: str

    @property
    def group(self) -> str:
        """The title of the group."""
        return GROUPS[self.id[0]]


_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE
_CORRUPTED = Jet.errDatabaseCorrupted

_TABLE: tuple[tuple[str, str, Severity, Jet | None, str], ...] = (
    ("H2", "Header copies", _W, Jet.errReadVerifyFailure,
     "Both copies of the header are good and the same."),
    ("H4", "Clean shutdown", _W, Jet.errDatabaseDirtyShutdown,
     "The database was shut down cleanly. If not, its pages may be of different times: every other "
     "finding but damaged checksums is then only a warning."),
    ("H5", "State", _E, _CORRUPTED,
     "The state is a known one, and a clean database requires no logs."),
    ("H6", "File size", _E, Jet.errFileIOBeyondEOF,
     "The file is a whole number of pages; the trailer page of a streaming backup copy fits it."),
    ("H7a", "End of the file", _E, Jet.errFileIOBeyondEOF,
     "The file has every page that the database owns."),
    ("H7b", "File too big", _W, None, "The database owns the file up to its end."),
    ("H8", "Signatures", _W, None, "The database has a signature."),
    ("H9", "Lost write", _E, Jet.errReadLostFlushVerifyFailure,
     "A page in use is as it was last written, as far as the flush map (.jfm) of a clean database "
     "knows."),
    ("H10", "Streaming file", _W, Jet.errDatabaseStreamingFileMismatch,
     "A streaming file (.stm) that the database has is there, and has its signature."),
    ("P11", "Uninitialized page", _E, Jet.errPageNotInitialized, "A page in use is not all zero."),
    ("P12a", "Checksum", _E, Jet.errReadVerifyFailure,
     "A page in use has its checksum, and was written for the place where it is."),
    ("P12b", "Single wrong bit", _W, Jet.errReadVerifyFailure,
     "No bit of a page in use had to be corrected."),
    ("P13", "Page structure", _E, Jet.errPageTagCorrupted,
     "The header of a page, its tags, the account of its space and its nodes hold together."),
    ("P14a", "Owner of the page", _E, _CORRUPTED,
     "A page carries the object id of the tree that it is found in."),
    ("P14b", "Last object id", _W, None,
     "No object id is above the last one in the header of a clean database."),
    ("P15", "Page dbtime", _E, Jet.errDbTimeCorrupted,
     "No page is newer than the header: its dbtime is at most the header's, and that is possible."),
    ("P16", "Page met twice", _E, Jet.errBadParentPageLink, "Only one pointer leads to a page."),
    ("T18a", "Page flags", _E, _CORRUPTED,
     "Root pages and only these have the root flag; all pages of a tree have the flags of its "
     "kind; no tree in use is flagged as deleted."),
    ("T18b", "Freed page in use", _W, None, "A page in use is not flagged as empty."),
    ("T18c", "Table left over", _W, Jet.errRBSFDPToBeDeleted,
     "No table is one that was deleted before a revert to an earlier state brought back its root "
     "page alone. Such a table is of no use and is not checked."),
    ("T19", "Child page", _E, _CORRUPTED,
     "A page of a tree lies in the file and in the space of its tree."),
    ("T20", "Depth", _E, Jet.errBadParentPageLink,
     "All leaves are equally deep; pages above leaves, and only these, say that they are."),
    ("T21", "Internal page", _E, Jet.errBadParentPageLink,
     "An internal page has nodes in ascending order, each a pointer of 4 bytes, none deleted; it "
     "has no neighbours, and only the last page of a level ends with an empty key."),
    ("T22", "Separators", _E, Jet.errBadParentPageLink,
     "What lies below a pointer is within the two keys beside it."),
    ("T23", "Leaf links", _E, Jet.errBadPageLink,
     "The links between leaves lead from the first to the last in both directions."),
    ("T24", "Empty leaf", _E, Jet.errBadEmptyPage, "Only the root of an empty tree has no nodes."),
    ("T25a", "Key order", _E, _CORRUPTED, "The nodes of a leaf are in strictly ascending order."),
    ("T25b", "Key length", _E, Jet.errNodeCorrupted,
     "No key is longer than the page size allows."),
    ("T26", "Deleted nodes", _N, None,
     "How many nodes of a tree are flagged deleted. Normal: the engine removes them later."),
    ("T27", "Key prefix", _E, Jet.errNodeCorrupted,
     "A node shares no more of its key than its page has in common, and not a single byte."),
    ("S28a", "Space header", _E, _CORRUPTED,
     "The root page of a tree has a space header that makes sense."),
    ("S28b", "Parent", _E, _CORRUPTED,
     "The space header names the tree that the catalog says the space comes from."),
    ("S29", "Space trees", _E, Jet.errSPOwnExtCorrupted,
     "The trees of owned and available extents can be read, have the owner's object id, and no "
     "versions."),
    ("S30", "Extents", _E, Jet.errSPOwnExtCorrupted,
     "Extents lie in the file, ascend and do not overlap."),
    ("S31", "Available space", _E, Jet.errSPAvailExtCorrupted,
     "Available pages are owned by the same tree and not in use."),
    ("S32", "Split buffer", _E, _CORRUPTED,
     "Pages kept for splits of a space tree are owned, not available and not in use; the list of "
     "them has room for two extents or none."),
    ("S33a", "Ownership", _E, _CORRUPTED,
     "A tree's pages come from its parent's space, are not available there and not given twice."),
    ("S33b", "Outside the root's extents", _W, None,
     "Pages of a tree are in an owned extent of the database."),
    ("S34", "Leaked pages", _W, Jet.errDatabaseLeakInSpace,
     "A page that is owned is in use, available, or given to another tree."),
    ("S35", "Space map", _E, _CORRUPTED,
     "The map of free pages of a small tree has no pages beyond its extent."),
    ("C36", "Shadow catalog", _E, Jet.errCatalogCorrupted,
     "Catalog and shadow catalog have the same rows."),
    ("C37", "Catalog row", _E, Jet.errCatalogCorrupted,
     "A catalog row can be decoded, has its mandatory columns and a known type."),
    ("C38", "Rows of a table", _E, Jet.errCatalogCorrupted,
     "The rows of a table begin with exactly one that describes the table itself: how full and "
     "how many its pages are at first."),
    ("C39", "Unique names and ids", _E, Jet.errCatalogCorrupted,
     "No object id, root page or name is used twice."),
    ("C40", "Root pages", _E, Jet.errCatalogCorrupted,
     "Root page and object id of each object are its own; the primary index has the table's."),
    ("C41", "Column definition", _E, Jet.errCatalogCorrupted,
     "Type, id, size, offset, flags and default of a column go together."),
    ("C42", "Index definition", _E, Jet.errCatalogCorrupted,
     "An index has segments of existing columns, and limits and flags that go together."),
    ("C43", "One of a kind", _E, Jet.errCatalogCorrupted,
     "A table has at most one primary index, one long-value tree and one callback row."),
    ("C44", "Template", _E, Jet.errCatalogCorrupted,
     "The template of a derived table exists, is a template, and has the indexes that come from "
     "it."),
    ("C45", "System objects", _E, Jet.errCatalogCorrupted,
     "The catalog describes itself and its shadow at their fixed places."),
    ("C46", "Lists of the engine", _W, None,
     "MSysObjids lists the catalog's objects, each with its table and type, and no others; "
     "MSysLocales counts no fewer indexes of a locale than there are."),
    ("R47", "Record", _E, _CORRUPTED,
     "A record is of a legal size and ends its fixed columns where the catalog says."),
    ("R48", "Variable columns", _E, _CORRUPTED,
     "The offsets of variable columns ascend and stay within the record."),
    ("R49a", "Tagged columns", _E, _CORRUPTED,
     "The entries of tagged columns ascend, stay within the record and have legal forms."),
    ("R49b", "Unknown tagged column", _W, None,
     "A tagged column in a record is in the catalog, and a long value if it is one there."),
    ("R50", "Null in a mandatory column", _E, _CORRUPTED, "A column that is not null has a value."),
    ("R51", "Primary key", _E, Jet.errPrimaryIndexCorrupted,
     "The key of a record is the one that its columns make."),
    ("R52", "Compressed value", _E, Jet.errDecompressionFailed,
     "A compressed value in a record can be decompressed."),
    ("R53a", "Null bitmap", _W, None, "Unused bits of the null bitmap are set."),
    ("R53b", "Autoincrement", _W, None,
     "No autoincrement value is above the highest one handed out."),
    ("L54", "Chunks", _E, Jet.errLVCorrupted,
     "A long value has a root node, then its chunks in order, complete and of the right size."),
    ("L55", "Missing long value", _E, Jet.errLVCorrupted,
     "A long value that a record refers to exists."),
    ("L56a", "References too low", _E, Jet.errLVCorrupted,
     "A long value counts at least the records that refer to it."),
    ("L56b", "References too high", _W, None,
     "A long value counts no more references than there are; else it outlives its records."),
    ("L56c", "Long value to be deleted", _N, None,
     "A long value without references, or partly deleted. Normal: the engine removes it later."),
    ("L57", "Compressed chunk", _E, Jet.errDecompressionFailed,
     "A compressed chunk decompresses to exactly the expected size."),
    ("L58", "Wide ids", _W, None,
     "Long-value ids of 8 bytes occur only from format revision 70,160 on."),
    ("X59a", "Entry without row", _E, Jet.errSecondaryIndexCorrupted,
     "An index entry is one that a row makes."),
    ("X59b", "Row without entry", _E, Jet.errSecondaryIndexCorrupted,
     "The entries that a row makes are in the index."),
    ("X61", "Other weights", _W, None,
     "Unicode text sorts by the weights of the version that the catalog names."),
)  # fmt: skip

RULES: dict[str, Rule] = {row[0]: Rule(*row) for row in _TABLE}
"""All rules by id, in the order of the specification."""


LAST_NUMBER = 62
"""Of the list in the specification."""

REMARKS: dict[int, str] = {
    1: "Not a finding: without a readable header, or without root pages, the check ends with an "
    "error.",
    3: "Not a finding: a file that is no database, or of an unknown version, ends with an error.",
    9: "An error here, as the page is not what was written. A map that is damaged or of another "
    "state of the file is passed over: the engine makes it anew.",
    14: "The second half, that object ids are not above the header's, is P14b.",
    17: "What is to be ignored: pages that are not in use are not read.",
    25: "Deleted nodes included. Also says that no key is twice in a unique index.",
    39: "That object ids are not above the header's is P14b.",
    40: "That root pages carry the object ids of their trees is P14a.",
    42: "The flag of Unicode text is not asked for where columns come from a template.",
    45: "Of the system tables only the two catalogs have fixed places: those of others differ in "
    "databases that were upgraded.",
    46: "Counts of MSysLocales may be too high, but not too low.",
    49: "Several values in a column that is not flagged multi-valued are no breach: the engine "
    "stores them.",
    58: "A warning here: such values can be read.",
    59: "Where keys of Unicode text are not known, by bookmark: see above.",
    60: "T25a: the keys of a unique index ascend strictly.",
    62: "What is to be ignored: entries flagged deleted are counted (T26), not compared.",
}
"""What is to be said of a number of the list beside the rules that bear it."""


def ids_of(number: int) -> list[str]:
    """Return the ids of the rules that come from one number of the list."""
    return [rule for rule in RULES if int("".join(filter(str.isdigit, rule))) == number]


def _numbers() -> list[str]:
    rows = (
        f"| {number} | {', '.join(ids_of(number))} | {REMARKS.get(number, '')} |"
        for number in range(1, LAST_NUMBER + 1)
    )
    head = ["### Number by number", "", "| number | rules | remark |", "|---|---|---|"]
    return [*head, *rows, ""]


def markdown() -> str:
    """Return the rules as tables for the documentation, one for each group, then by number."""
    lines: list[str] = []
    for letter, title in GROUPS.items():
        lines += [f"### {title}", "", "| rule | what holds | if not | error |", "|---|---|---|---|"]
        for rule in RULES.values():
            if rule.id[0] == letter:
                jet = "" if rule.jet is None else f"{int(rule.jet)} {rule.jet.title}"
                lines.append(f"| {rule.id} | {rule.meaning} | {rule.severity} | {jet} |")
        lines.append("")
    return "\n".join([*lines, *_numbers()])


if __name__ == "__main__":
    print(markdown())
