"""Compiled trees of the online Isolation Forest: score, learn and forget, for the runs of many markets.

A tree is a complete binary heap of fixed depth: the root is node 1, below node n are 2n and 2n + 1. A leaf
above the bottom is passed through: what looks like its split has the value infinity, so every point goes
left, down to the leaf's *place*, the first of the bottom nodes under it. So a descent has the same number of
steps for every point and no branch that depends on the data; the nodes that are passed through carry the
leaf's count.

A trade costs what it has to fetch, so the nodes of a tree lie in whole cache lines, all that a point does to
a tree is done at once, and what follows from a count is looked up in a table that all markets share.

Boxes belong to places, and hold the negated lower edges, then the upper edges, then zeros up to a multiple of
`LANES`: a point (negated, then as it is) lies outside where one of its lanes is greater, and the box grows to
the greater of both. Points, boxes and split values are float32; all comparisons are between such numbers, so
nothing is lost but the digits of the points themselves.
"""

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detector.arrays import BoolVector, FloatMatrix, FloatVector, IntVector
from detector.kernels.random import count_up_to, extremes, greatest, uniform
from detector.kernels.vectors import (
    LANES,
    above,
    chosen_above,
    exchange,
    finite,
    lowest_bit,
    prefetch,
    raise_to,
)

# A float32 that leaves room for the width of a box.
LARGEST: Final = 1e37

_PASSED, _NO_NUMBER = -1, -2
_ZERO, _ONE = np.uint64(0), np.uint64(1)


class Trees(NamedTuple):
    """The trees of all markets, by slot.

    Attributes:
        values: (slots, trees, 2^depth), by node, of splits; infinity where there is none, as at node 0.
        columns: likewise, which column is split.
        counts: (slots, trees, 2^(depth + 1)), points under each node; estimates where a leaf has split.
        depths: (slots, trees, 2^depth), of the leaf at each place.
        boxes: (slots, trees, 2^depth, lanes), of the leaf at each place.
        rng: (slots, trees), generators.
    """

    values: NDArray[np.float32]
    columns: NDArray[np.uint8]
    counts: NDArray[np.int32]
    depths: NDArray[np.int8]
    boxes: NDArray[np.float32]
    rng: NDArray[np.uint64]


class Memory(NamedTuple):
    """What the forest remembers of all markets, by slot.

    Attributes:
        window: (slots, points, columns), the latest points that were learned, as a ring.
        taken: (slots), points learned so far.
        since_s: (slots), event time since the latest of them.
    """

    window: NDArray[np.float32]
    taken: IntVector
    since_s: FloatVector


class Rules(NamedTuple):
    """What decides how trees grow.

    Attributes:
        max_leaf: points in a leaf at depth 0 from which it splits.
        sees_outside: whether a point outside its leaf's box is stranger than one inside.
        spacing_s: least event time between two points that are learned, once the window is full.
        scored_from: points in the window from which a row has a score.
        time_column: of the rows, which holds the seconds since the row before.
        depth_of: c(n) for every count n up to twice the window: log4(n / max_leaf), 0 below.
        paths: flat, for every bottom node ones for the nodes down to it; none for what is no bottom node.
        least: by node, of points below which an inner node becomes a leaf again; nothing is below that of
            nodes that are never inner ones.
    """

    max_leaf: int
    sees_outside: bool
    spacing_s: float
    scored_from: int
    time_column: int
    depth_of: FloatVector
    paths: NDArray[np.int32]
    least: NDArray[np.int32]


def no_trees(*, trees: int, max_depth: int, columns: int) -> Trees:
    """Return room for the trees of no market; nodes and boxes come in whole `LANES`.

    Args:
        trees: of each market.
        max_depth: that no node exceeds.
        columns: of the points, at most 255.
    """
    forest, places = (0, trees), 2**max_depth
    return Trees(
        values=np.empty((*forest, _whole(places)), np.float32),
        columns=np.empty((*forest, _whole(places)), np.uint8),
        counts=np.empty((*forest, _whole(2 * places)), np.int32),
        depths=np.empty((*forest, places), np.int8),
        boxes=np.empty((*forest, places, _whole(2 * columns)), np.float32),
        rng=np.empty(forest, np.uint64),
    )


def plant(trees: Trees, slot: int, *, columns: int, rng: NDArray[np.uint64]) -> None:
    """Make all trees of a slot one empty leaf each, with these generators."""
    for array in trees:
        array[slot] = 0
    trees.values[slot] = np.inf
    trees.boxes[slot, :, :, : 2 * columns] = -np.inf
    trees.rng[slot] = rng


def make_rules(
    *,
    window: int,
    max_leaf: int,
    max_depth: int,
    sees_outside: bool,
    spacing_s: float,
    scored_from: int,
    time_column: int,
) -> Rules:
    """Return the rules of a forest whose window holds so many points; for the others see `Rules`."""
    places = 2**max_depth
    counts = np.maximum(np.arange(2 * window + 1) / max_leaf, 1.0)
    paths = np.zeros((2 * places, _whole(2 * places)), np.int32)
    for leaf in range(places, 2 * places):
        paths[leaf, [leaf >> up for up in range(max_depth + 1)]] = 1
    least = np.full(_whole(2 * places), np.iinfo(np.int32).min, np.int32)
    for depth in range(max_depth):
        least[1 << depth : 2 << depth] = max_leaf << depth
    return Rules(
        max_leaf=max_leaf,
        sees_outside=sees_outside,
        spacing_s=spacing_s,
        scored_from=scored_from,
        time_column=time_column,
        depth_of=0.5 * np.log2(counts),
        paths=paths.ravel(),
        least=least,
    )


def _whole(size: int) -> int:
    """Return a size rounded up to whole `LANES`."""
    return -(-size // LANES) * LANES


class Tree(NamedTuple):
    """One tree of one market: views of `Trees`, and the market's generators, of which it has number `number`.

    Attributes:
        number: of the tree.
        bottom: depth of the bottom.
    """

    values: NDArray[np.float32]
    columns: NDArray[np.uint8]
    counts: NDArray[np.int32]
    depths: NDArray[np.int8]
    boxes: NDArray[np.float32]
    rng: NDArray[np.uint64]
    number: int
    bottom: int


@njit(cache=True)
def _tree(trees: Trees, slot: int, number: int, bottom: int) -> Tree:
    """Return one tree."""
    return Tree(
        trees.values[slot, number],
        trees.columns[slot, number],
        trees.counts[slot, number],
        trees.depths[slot, number],
        trees.boxes[slot, number],
        trees.rng[slot],
        number,
        bottom,
    )


@njit(cache=True)
def _node(tree: Tree, place: int, depth: int) -> int:
    """Return the node at a depth above a place."""
    places = int(tree.depths.shape[0])
    return (place + places) >> (tree.bottom - depth)


@njit(cache=True)
def _set_count(tree: Tree, place: int, depth: int, count: int) -> None:
    """Give a leaf, and what is passed through below it, a count."""
    for level in range(depth, tree.bottom + 1):
        tree.counts[_node(tree, place, level)] = count


@njit(cache=True)
def _draw_points(tree: Tree, place: int, columns: int, count: int) -> None:
    """Draw points uniformly in the box at a place, and shrink the box to them."""
    box = tree.boxes[place]
    for k in range(columns):
        low, width = -float(box[k]), float(box[columns + k]) + float(box[k])
        least, most = extremes(tree.rng, tree.number, count)
        box[k] = -np.float32(low + least * width)
        box[columns + k] = np.float32(low + most * width)


@njit(cache=True)
def _split(tree: Tree, place: int, columns: int, count: int) -> None:
    """Split a leaf at random; its points are uniform in its box and touch every side of it.

    Columns are independent, so of each column other than the split's only the extremes of either side are
    drawn: which side the point on each border is on, and where the utmost of the points between them are.
    """
    depth = int(tree.depths[place])
    other = place + (tree.depths.shape[0] >> (depth + 1))
    box, far = tree.boxes[place], tree.boxes[other]
    column = int(uniform(tree.rng, tree.number) * columns)
    low, high = -float(box[column]), float(box[columns + column])
    share = uniform(tree.rng, tree.number)
    value = np.float32(low + share * (high - low))
    far[:] = box
    # Beside the points on the two borders; those on either side of the cut are uniform there.
    left = count_up_to(tree.rng, tree.number, count - 2, share)
    right = count - 2 - left
    left_high, right_low = np.float32(low), np.float32(high)
    if left > 0:
        left_high = np.float32(low + share * greatest(tree.rng, tree.number, left) * (high - low))
    if right > 0:
        right_low = np.float32(high - (1.0 - share) * greatest(tree.rng, tree.number, right) * (high - low))
    left += 1
    if high <= value:
        left, left_high = count, np.float32(high)
    box[columns + column], far[column] = left_high, -right_low
    for k in range(columns):
        if k != column:
            _share_out(tree, box, far, k, columns, left, count - left)
    if left == count:
        far[: 2 * columns] = -np.inf
    tree.depths[place] = depth + 1
    tree.depths[other] = depth + 1
    node = _node(tree, place, depth)
    tree.values[node] = value
    tree.columns[node] = column
    _set_count(tree, place, depth + 1, left)
    _set_count(tree, other, depth + 1, count - left)


@njit(cache=True)
def _share_out(
    tree: Tree,
    box: NDArray[np.float32],
    far: NDArray[np.float32],
    k: int,
    columns: int,
    left: int,
    right: int,
) -> None:
    """Draw what the sides of a split hold of column `k`, of which both boxes say what they hold together."""
    low, high = -float(box[k]), float(box[columns + k])
    has_low = uniform(tree.rng, tree.number) * (left + right) < left
    has_high = uniform(tree.rng, tree.number) * (left + right - 1) < left - int(has_low)
    box[k], box[columns + k] = _side(tree, low, high, left, has_low, has_high)
    far[k], far[columns + k] = _side(tree, low, high, right, not has_low, not has_high)


@njit(cache=True)
def _side(
    tree: Tree,
    low: float,
    high: float,
    count: int,
    has_low: bool,  # noqa: FBT001 - compiled
    has_high: bool,  # noqa: FBT001 - compiled
) -> tuple[np.float32, np.float32]:
    """Return the negated least and the greatest of some points between two values."""
    between = count - int(has_low) - int(has_high)
    least = most = np.inf
    if between > 0:
        least, most = extremes(tree.rng, tree.number, between)
    bottom = low if has_low else low + least * (high - low) if between > 0 else high
    top = high if has_high else low + most * (high - low) if between > 0 else low
    return -np.float32(bottom), np.float32(top)


@njit(cache=True)
def _grow(tree: Tree, place: int, columns: int, limit: float, max_leaf: int, most: int) -> None:
    """Grow a subtree in place of a leaf, from points drawn uniformly in its box."""
    depth = int(tree.depths[place])
    end = place + (tree.depths.shape[0] >> depth)
    count = min(int(tree.counts[_node(tree, place, depth)]), most)
    _set_count(tree, place, depth, count)
    _draw_points(tree, place, columns, count)
    while place < end:
        depth = int(tree.depths[place])
        count = int(tree.counts[_node(tree, place, depth)])
        if count >= max_leaf << depth and depth < limit:
            _split(tree, place, columns, count)
        else:
            place += tree.depths.shape[0] >> depth


@njit(cache=True)
def _merge(tree: Tree, node: int, depth: int) -> None:
    """Make an inner node a leaf whose box spans the boxes of the leaves below it; its count stays."""
    places = tree.depths.shape[0]
    first = (node << (tree.bottom - depth)) - places
    box = tree.boxes[first]
    place = first + (places >> int(tree.depths[first]))
    while place < first + (places >> depth):
        box[:] = np.maximum(box, tree.boxes[place])
        place += places >> int(tree.depths[place])
    tree.depths[first] = depth
    for level in range(depth, tree.bottom):
        start = node << (level - depth)
        tree.values[start : start + (1 << (level - depth))] = np.inf
    _set_count(tree, first, depth, tree.counts[node])


@njit(cache=True)
def _prune(tree: Tree, point: NDArray[np.float32], max_leaf: int) -> None:
    """Merge the uppermost node on a point's path that has too few points."""
    node = 1
    for depth in range(tree.bottom):
        if tree.values[node] < np.inf and tree.counts[node] < max_leaf << depth:
            _merge(tree, node, depth)
            return
        node = 2 * node + int(point[tree.columns[node]] > tree.values[node])


@njit(cache=True)
def _beyond(
    boxes: NDArray[np.float32],
    slot: int,
    t: int,
    place: int,
    lanes: NDArray[np.float32],
    columns: int,
    k: int,
) -> float:
    """Return the share of a uniform cut of column k that separates a point from the box at a place."""
    low, high = -float(boxes[slot, t, place, k]), float(boxes[slot, t, place, columns + k])
    value = float(lanes[columns + k])
    beyond = max(low - value, value - high)
    return beyond / (beyond + high - low) if beyond > 0.0 else 0.0


@njit(cache=True)
def _below(depth_of: FloatVector, count: int) -> float:
    """Return how many cuts the points of a leaf still need."""
    return float(depth_of[min(max(count, 0), depth_of.shape[0] - 1)])


@njit(cache=True)
def _descend(bits: np.uint64, bottom: int) -> np.uint64:
    """Return the bottom node of a path that goes right where the bit of a node is set."""
    node = _ONE
    for _ in range(bottom):
        node = node + node + ((bits >> node) & _ONE)
    return node


@njit(cache=True)
def _fall(trees: Trees, slot: int, number: int, point: NDArray[np.float32], bottom: int) -> np.uint64:
    """Return the bottom node where a point ends in a tree, step by step."""
    node = _ONE
    for _ in range(bottom):
        is_above = point[trees.columns[slot, number, node]] > trees.values[slot, number, node]
        node = node + node + np.uint64(is_above)
    return node


@njit(cache=True)
def _count_in(trees: Trees, slot: int, number: int, leaf: np.uint64) -> None:
    """Count a point in the nodes down to a bottom node."""
    node = leaf
    while node > _ZERO:
        trees.counts[slot, number, node] += 1
        node >>= _ONE


@njit(cache=True)
def _explain(  # noqa: PLR0917 - compiled; buffers come by position
    trees: Trees,
    slot: int,
    number: int,
    leaf: np.uint64,
    lanes: NDArray[np.float32],
    i: int,
    bottom: int,
    spared: float,
    shares: FloatMatrix,
) -> None:
    """Add to a row's shares what the cuts above its leaf in one tree isolate of it beyond even ones."""
    columns = shares.shape[1]
    counts, boxes = trees.counts[slot, number], trees.boxes
    count = max(int(counts[1]), 1)
    for depth in range(bottom):
        node = leaf >> np.uint64(bottom - depth - 1)
        above, count = count, max(int(counts[node]), 1)
        if above > 2 * count:
            column = trees.columns[slot, number, node >> _ONE]
            shares[i, column] += np.log2(above / count) - 1.0
    if spared <= 0.0:
        return
    place, total = int(np.int64(leaf)) - trees.depths.shape[2], 0.0
    for k in range(columns):
        total += _beyond(boxes, slot, number, place, lanes, columns, k)
    if total > 0.0:
        for k in range(columns):
            beyond = _beyond(boxes, slot, number, place, lanes, columns, k)
            shares[i, k] += 2.0 * spared * beyond / total


@njit(cache=True)
def _take_in(  # noqa: PLR0917 - as above
    i: int,
    slot: int,
    rows: FloatMatrix,
    points: FloatMatrix,
    window: NDArray[np.float32],
    taken: IntVector,
    since_s: FloatVector,
    spacing_s: float,
    time_column: int,
    lanes: NDArray[np.float32],
    point: NDArray[np.float32],
    leaving: NDArray[np.float32],
) -> int:
    """Bring row i to the trees' shape, decide whether it is learned, and put it into the window then.

    Returns how many were learned before it; `_PASSED` when it is not learned, `_NO_NUMBER` when it is none.
    """
    size, columns = window.shape[1], window.shape[2]
    is_number = not np.isnan(rows[i, time_column])
    for k in range(columns):
        is_number &= not np.isnan(points[i, k])
        value = np.float32(min(max(points[i, k], -LARGEST), LARGEST))
        lanes[k], lanes[columns + k], point[k] = -value, value, value
    if not is_number:
        return _NO_NUMBER
    since_s[slot] += rows[i, time_column]
    sequence = taken[slot]
    if sequence >= size and since_s[slot] < spacing_s:
        return _PASSED
    at = sequence % size
    for k in range(columns):
        leaving[k] = window[slot, at, k]
        window[slot, at, k] = point[k]
    taken[slot] = sequence + 1
    since_s[slot] = 0.0
    return int(sequence)


@njit(cache=True)
def score_learn(  # noqa: C901, PLR0912, PLR0915, PLR0917 - see below
    slots: IntVector,
    starts: IntVector,
    rows: FloatMatrix,
    points: FloatMatrix,
    wanted: BoolVector,
    memory: Memory,
    trees: Trees,
    rules: Rules,
    scores: FloatVector,
    shares: FloatMatrix,
) -> None:
    """Score, learn and forget the rows of many markets, row by row.

    It is one long function because numba counts references to arrays at every view of one and at most calls,
    which would cost more than the trees do.

    Args:
        slots: of the markets, m.
        starts: m + 1, as in `Runs`.
        rows: n rows of features.
        points: what the trees look at of them.
        wanted: n, rows whose shares are asked for.
        memory: changed.
        trees: changed.
        rules: for all markets.
        scores: n, filled.
        shares: n rows, one column per column of the points; filled.
    """
    columns, size, max_leaf = points.shape[1], memory.window.shape[1], rules.max_leaf
    _, tree_count, place_count, lane_count = trees.boxes.shape
    inner_count, node_count = trees.values.shape[2], trees.counts.shape[2]
    places, inner, nodes = np.uint64(place_count), np.uint64(inner_count), np.uint64(node_count)
    lanes = np.zeros(lane_count, np.float32)
    point = np.zeros(max(columns, LANES), np.float32)
    leaving = np.zeros(max(columns, LANES), np.float32)
    leaves, sides = np.zeros(tree_count, np.uint64), np.uint64(columns)
    values, split_columns, counts = trees.values.ravel(), trees.columns.ravel(), trees.counts.ravel()
    depths, boxes, window = trees.depths.ravel(), trees.boxes.ravel(), memory.window.ravel()
    depth_of, paths, least, taken = rules.depth_of, rules.paths, rules.least, memory.taken
    since_s, spacing_s, time_column = memory.since_s, rules.spacing_s, rules.time_column
    scored_from = rules.scored_from
    is_small = inner_count == LANES and columns <= LANES
    bottom = 0
    while (1 << bottom) < place_count:
        bottom += 1
    shares[:] = 0.0
    for run in range(slots.shape[0]):
        slot = slots[run]
        first = np.uint64(slot * tree_count)
        if run + 1 < slots.shape[0]:
            later = slots[run + 1]
            soon = np.uint64(later * tree_count)
            for line in range(0, tree_count * node_count, 16):
                prefetch(counts, soon * nodes + np.uint64(line))
            for line in range(0, tree_count * inner_count, 16):
                prefetch(values, soon * inner + np.uint64(line))
            for line in range(0, tree_count * inner_count, 64):
                prefetch(split_columns, soon * inner + np.uint64(line))
            for line in range(0, tree_count * place_count, 64):
                prefetch(depths, soon * places + np.uint64(line))
            prefetch(window, np.uint64((later * size + taken[later] % size) * columns))
        for i in range(starts[run], starts[run + 1]):
            sequence = _take_in(
                i,
                slot,
                rows,
                points,
                memory.window,
                taken,
                since_s,
                spacing_s,
                time_column,
                lanes,
                point,
                leaving,
            )
            scores[i] = np.nan
            if sequence == _NO_NUMBER:
                continue
            is_wanted, limit, length = wanted[i], depth_of[min(sequence, size) + 1], 0.0
            for number in range(tree_count):
                tree = first + np.uint64(number)
                if is_small:
                    bits = chosen_above(point, _ZERO, split_columns, tree * inner, values, tree * inner)
                    leaf = _descend(bits, bottom)
                else:
                    leaf = _fall(trees, slot, number, point, bottom)
                leaves[number] = leaf
                prefetch(boxes, (tree * places + leaf - places) * np.uint64(lane_count))
            for number in range(tree_count):
                tree, leaf = first + np.uint64(number), leaves[number]
                at = tree * places + leaf - places
                box = at * np.uint64(lane_count)
                is_outside, together = False, 1.0
                for block in range(0, lane_count, LANES):
                    start = np.uint64(block)
                    outside = above(lanes, start, boxes, box + start)
                    is_outside |= outside > _ZERO
                    while outside > _ZERO:
                        lane = start + lowest_bit(outside)
                        outside &= outside - _ONE
                        opposite = lane + sides if lane < sides else lane - sides
                        beyond = float(lanes[lane]) - float(boxes[box + lane])
                        width = float(boxes[box + opposite]) + float(boxes[box + lane])
                        together *= 1.0 - beyond / (beyond + width)
                depth, count = int(depths[at]), int(counts[tree * nodes + leaf])
                below, spared = _below(depth_of, count), 0.0
                if is_outside and rules.sees_outside and below > 0.0:
                    spared = below * (1.0 - together)
                length += depth + (below - spared)
                if is_wanted:
                    _explain(trees, slot, number, leaf, lanes, i, bottom, spared, shares)
                if sequence < 0:
                    continue
                if is_outside:
                    for block in range(0, lane_count, LANES):
                        raise_to(boxes, box + np.uint64(block), lanes, np.uint64(block))
                gained, lost = leaf, _ZERO
                if count + 1 >= max_leaf << depth and depth < limit:
                    _count_in(trees, slot, number, leaf)
                    grown = _tree(trees, slot, number, bottom)
                    _grow(grown, int(np.int64(leaf - places)), columns, limit, max_leaf, 2 * size)
                    gained = _ZERO
                if sequence >= size and is_small:
                    bits = chosen_above(leaving, _ZERO, split_columns, tree * inner, values, tree * inner)
                    lost = _descend(bits, bottom)
                elif sequence >= size:
                    lost = _fall(trees, slot, number, leaving, bottom)
                low = _ZERO
                for block in range(0, node_count, LANES):
                    start = np.uint64(block)
                    gain, loss = gained * nodes + start, lost * nodes + start
                    few = exchange(counts, tree * nodes + start, paths, gain, paths, loss, least, start)
                    if block < inner_count:
                        low |= few & finite(values, tree * inner + start)
                if low > _ZERO and lost > _ZERO:
                    _prune(_tree(trees, slot, number, bottom), leaving, max_leaf)
            held = size if sequence < 0 else min(sequence, size)
            if held < scored_from:
                shares[i] = 0.0
                continue
            scores[i] = np.exp2(-length / tree_count / depth_of[held])
            if is_wanted:
                isolated = shares[i].sum()
                if isolated > 0.0:
                    shares[i] /= isolated
