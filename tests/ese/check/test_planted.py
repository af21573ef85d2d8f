"""One planted defect at a time: exactly the rule that it breaks is reported, at its place."""

from __future__ import annotations

import pytest

from hotsplit.ese.check.rules import RULES
from tests.conftest import manifest, unpack_vector
from tests.ese.check.defects import DEFECTS
from tests.ese.check.planted import Planter


@pytest.fixture(scope="module")
def original() -> Planter:
    if "crash-p4096-ckpt" not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    return Planter(unpack_vector("crash-p4096-ckpt") / "recovered" / "test.edb")


@pytest.fixture
def db(original: Planter) -> Planter:
    return original.copy()


CORRUPTED = [
    "three_bits_flipped",
    "page_zeroed",
    "page_of_another_tree",
    "link_to_the_next_leaf_is_wrong",
    "page_newer_than_the_header",
    "two_nodes_swapped",
    "tag_reaches_into_free_space",
    "free_space_is_wrong",
    "separator_too_low",
    "two_pointers_to_one_page",
    "header_with_a_dbtime_that_is_negative",
    "tree_of_an_index_flagged_as_deleted",
    "column_with_a_default_by_no_function",
    "column_flagged_as_with_a_default",
    "table_whose_pages_are_as_good_as_empty",
    "table_with_more_pages_than_a_file",
    "leaf_that_says_it_is_above_leaves",
    "version_in_a_space_tree",
    "list_of_pages_for_splits_too_long",
    "pointer_beyond_the_file",
    "root_with_a_neighbour",
    "parent_does_not_say_that_leaves_follow",
    "root_flag_on_a_leaf",
    "parent_is_another_page",
    "owned_extent_of_a_table_forgotten",
    "last_fixed_column_unknown",
    "end_of_the_fixed_columns_too_large",
    "key_column_null",
    "tagged_ids_out_of_order",
    "offset_of_a_multi_value_wrong",
    "too_few_references",
    "root_node_of_a_long_value_missing",
    "chunk_missing",
    "long_value_longer_than_its_chunks",
    "key_of_a_chunk_of_the_wrong_length",
    "index_entry_missing",
    "record_deleted_under_an_index",
    "row_changed_in_the_shadow",
    "file_cut_short",
]
SOUND = [
    "object_not_listed",
    "object_listed_with_another_table",
    "object_listed_with_another_type",
    "object_listed_that_is_not_there",
    "used_up_extent_for_pages_in_a_row",
    "one_bit_flipped",
    "records_in_the_format_of_old_engines",
    "page_in_use_flagged_as_freed",
    "database_does_not_own_its_first_page",
    "available_extent_forgotten",
    "too_many_references",
    "long_value_in_use_partly_deleted",
    "header_knows_fewer_objects",
]
"""How the engine's own integrity check ends for these defects (format specification 13.2)."""


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_breaks_exactly_its_rule(db: Planter, name: str) -> None:
    rules, defect = DEFECTS[name]
    defect(db)
    result = db.check()
    assert db.added(result) == rules
    if name in [*CORRUPTED, *SOUND]:
        assert result.is_damaged == (name in CORRUPTED)


def test_every_rule_is_broken_once() -> None:
    assert {rule for rules, _ in DEFECTS.values() for rule in rules} == set(RULES)
    assert {*CORRUPTED, *SOUND} <= set(DEFECTS)


def test_nothing_is_wrong_without_a_defect(db: Planter) -> None:
    db.page(4)
    result = db.check()
    assert db.added(result) == set()
    assert not result.is_damaged
