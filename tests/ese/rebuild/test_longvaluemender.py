"""Long values with missing nodes: whole again, and everything that is not said so."""

from __future__ import annotations

import random
from array import array
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from hotsplit.ese.format.longvalue import LongValueRoot, chunk_key, root_key, split_key
from hotsplit.ese.format.page import Node
from hotsplit.ese.rebuild.builder import Batch
from hotsplit.ese.rebuild.longvaluemender import LongValueMender

CHUNK = 16
WIDE = 1 << 63


def nodes_of(lid: int, value: bytes, references: int) -> list[Node]:
    root = Node(root_key(lid), LongValueRoot(references, len(value)).pack())
    return [
        root,
        *(Node(chunk_key(lid, at), value[at : at + CHUNK]) for at in range(0, len(value), CHUNK)),
    ]


def values_in(nodes: list[Node]) -> dict[int, tuple[int, bytes]]:
    """Return references and bytes by id. Fails unless all long values are whole and in order."""
    found: dict[int, tuple[int, bytes]] = {}
    sizes: dict[int, int] = {}
    for node in nodes:
        lid, offset = split_key(node.key)
        if offset is None:
            assert lid not in found
            root = LongValueRoot.unpack(node.data)
            found[lid], sizes[lid] = (root.references, b""), root.size
        else:
            references, value = found[lid]
            assert offset == len(value)
            found[lid] = references, value + node.data
    assert {lid: len(value) for lid, (_, value) in found.items()} == sizes
    assert [n.key for n in nodes] == sorted(n.key for n in nodes)
    return found


@given(
    sizes=st.lists(st.integers(1, 100), min_size=1, max_size=12),
    first=st.sampled_from([1, WIDE | 1]),
    seed=st.integers(0, 1 << 32),
    share=st.floats(0, 0.6),
    known=st.booleans(),
    strict=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_any_nodes_missing(
    sizes: list[int], first: int, seed: int, share: float, known: bool, strict: bool
) -> None:
    rng = random.Random(seed)
    # No byte is one that begins a compressed chunk.
    values = {first + i: bytes(rng.randrange(0xC0, 256) for _ in range(size))
              for i, size in enumerate(sizes)}  # fmt: skip
    references = array("Q", [rng.choice(list(values)) for _ in range(2 * len(values))])
    counts = Counter(references)
    whole = [n for lid, value in values.items() for n in nodes_of(lid, value, counts[lid] or 1)]
    left = [node for node in whole if rng.random() >= share]
    mender = LongValueMender(CHUNK, 1000, strict=strict)
    sound = mender.survey([Batch(0, left)])
    made = [
        node
        for batch in mender.batches([Batch(0, left)], 0, references if known else None)
        for node in batch.nodes
    ]
    found = values_in(made)
    lost = {value.lid: value for value in mender.lost}
    if known:
        assert set(found) == set(counts)
        assert all(found[lid][0] == count for lid, count in counts.items())
    else:
        assert set(found) == {split_key(node.key)[0] for node in left}
    for lid, (_, value) in found.items():
        complete = [n.key for n in left if split_key(n.key)[0] == lid] == [
            n.key for n in whole if split_key(n.key)[0] == lid
        ]
        assert (lid in lost) != complete
        chunks = [n for n in nodes_of(lid, values[lid], 1) if split_key(n.key)[1] is not None]
        if all(node in left for node in chunks):
            assert value == values[lid]
        assert (value == values[lid]) or lid in lost
        assert all(a in (0, b) for a, b in zip(value, values[lid], strict=False))
        if lid in lost and lost[lid].lost is not None:
            assert lost[lid].lost == len(values[lid]) - len(value) + value.count(0)
    if not share:
        assert sound
        assert not lost


def test_a_gap_that_would_take_too_much_room_ends_the_value() -> None:
    value = bytes([0xFF]) * 100 * CHUNK
    nodes = nodes_of(5, value, 1)
    left = nodes[:3] + nodes[90:]
    mender = LongValueMender(CHUNK, 10 * CHUNK)
    assert not mender.survey([Batch(0, left)])
    (batch,) = mender.batches([Batch(0, left)], 0, None)
    assert values_in(list(batch.nodes)) == {5: (1, value[: 2 * CHUNK])}
    assert mender.lost == [(5, 2 * CHUNK, 98 * CHUNK)]
