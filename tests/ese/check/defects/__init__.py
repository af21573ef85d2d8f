"""Defects that tests plant, one at a time, each with the rule that it breaks."""

from tests.ese.check.defects import (
    catalog,
    header,
    indexes,
    longvalues,
    pages,
    records,
    space,
    trees,
)
from tests.ese.check.defects.registry import DEFECTS

__all__ = [
    "DEFECTS", "catalog", "header", "indexes", "longvalues", "pages", "records", "space", "trees",
]  # fmt: skip
