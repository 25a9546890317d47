"""Compiled trees of the online Isolation Forest: score, learn and forget, for the runs of many markets.

A tree is a complete binary heap of fixed depth. A leaf above the bottom is passed through: what looks like
its split has the value infinity, so every point goes left, down to the leaf's *place*, the first of the
bottom nodes under it. So a descent has the same number of steps for every point and no branch that depends on
the data; the nodes that are passed through carry the leaf's count.

Boxes belong to places, and hold the negated lower edges, then the upper edges, then zeros up to a multiple of
`LANES`: a point (negated, then as it is) lies outside where one of its lanes is greater, and the box grows to
the greater of both. Points, boxes and split values are float32; all comparisons are between such numbers, so
nothing is lost but the digits of the points themselves.
"""

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detector.arrays import BoolVector, FloatCube, FloatMatrix, FloatVector, IntVector
from detector.kernels.random import ahead, extremes, skip, uniform
from detector.kernels.vectors import LANES, is_any_above

# A float32 that leaves room for the width of a box.
LARGEST: Final = 1e37

_ZERO, _ONE = np.uint64(0), np.uint64(1)


class Trees(NamedTuple):
    """The trees of all markets, by slot.

    Attributes:
        values: (slots, trees, 2^depth - 1), of splits; infinity where there is none.
        columns: likewise, which column is split.
        counts: (slots, trees, 2^(depth + 1) - 1), points under each node; estimates where a leaf has split.
        depths: (slots, trees, 2^depth), of the leaf at each place.
        boxes: (slots, trees, 2^depth, lanes), of the leaf at each place.
        rng: (slots, trees), generators.
    """

    values: NDArray[np.float32]
    columns: NDArray[np.uint16]
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
        time_column: of the rows, which holds the seconds since the row before.
        depth_of: c(n) for every count n up to twice the window: log4(n / max_leaf), 0 below.
    """

    max_leaf: int
    sees_outside: bool
    spacing_s: float
    time_column: int
    depth_of: FloatVector


class Tree(NamedTuple):
    """One tree of one market: views of `Trees`, and the market's generators, of which it has number `number`.

    Attributes:
        number: of the tree.
        bottom: depth of the bottom.
    """

    values: NDArray[np.float32]
    columns: NDArray[np.uint16]
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
    return ((place + places) >> (tree.bottom - depth)) - 1


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
    value = np.float32(low + uniform(tree.rng, tree.number) * (high - low))
    far[:] = box
    left, left_high, right_low = 1, np.float32(low), np.float32(high)
    for j in range(1, count - 1):
        point = np.float32(low + ahead(tree.rng, tree.number, j) * (high - low))
        if point <= value:
            left += 1
            left_high = max(left_high, point)
        else:
            right_low = min(right_low, point)
    skip(tree.rng, tree.number, count - 2)
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
    first = ((node + 1) << (tree.bottom - depth)) - places
    box = tree.boxes[first]
    place = first + (places >> int(tree.depths[first]))
    while place < first + (places >> depth):
        box[:] = np.maximum(box, tree.boxes[place])
        place += places >> int(tree.depths[place])
    tree.depths[first] = depth
    for level in range(depth, tree.bottom):
        start = ((node + 1) << (level - depth)) - 1
        tree.values[start : start + (1 << (level - depth))] = np.inf
    _set_count(tree, first, depth, tree.counts[node])


@njit(cache=True)
def _prune(tree: Tree, points: NDArray[np.float32], i: int, max_leaf: int) -> None:
    """Merge the uppermost node on point i's path that has too few points."""
    node = 0
    for depth in range(tree.bottom):
        if tree.values[node] < np.inf and tree.counts[node] < max_leaf << depth:
            _merge(tree, node, depth)
            return
        node = 2 * node + 1 + int(points[i, tree.columns[node]] > tree.values[node])


@njit(cache=True)
def _beyond(
    boxes: NDArray[np.float32],
    slot: int,
    t: int,
    place: int,
    lanes: NDArray[np.float32],
    i: int,
    columns: int,
    k: int,
) -> float:
    """Return the share of a uniform cut of column k that separates point i from the box at a place."""
    low, high = -float(boxes[slot, t, place, k]), float(boxes[slot, t, place, columns + k])
    value = float(lanes[i, columns + k])
    beyond = max(low - value, value - high)
    return beyond / (beyond + high - low) if beyond > 0.0 else 0.0


@njit(cache=True)
def _spared(
    boxes: NDArray[np.float32],
    slot: int,
    t: int,
    place: int,
    lanes: NDArray[np.float32],
    i: int,
    columns: int,
) -> float:
    """Return which share of the cuts that a leaf still needs is spared for a point outside its box.

    One cut in column k, uniform over the box and the point, separates them with probability p_k. The cuts
    are spared with the probability that one column's cut does.
    """
    kept = 1.0
    for k in range(columns):
        kept *= 1.0 - _beyond(boxes, slot, t, place, lanes, i, columns, k)
    return 1.0 - kept


@njit(cache=True)
def _below(depth_of: FloatVector, count: int) -> float:
    """Return how many cuts the points of a leaf still need."""
    return float(depth_of[min(max(count, 0), depth_of.shape[0] - 1)])


@njit(cache=True)
def _explain(  # noqa: PLR0917 - compiled; buffers come by position
    trees: Trees,
    market: int,
    lanes: NDArray[np.float32],
    i: int,
    rules: Rules,
    bottom: int,
    places: NDArray[np.uint64],
    outside: NDArray[np.uint8],
    shares: FloatMatrix,
) -> None:
    """Add to a row's shares what the cuts above its places isolate of it beyond even ones."""
    slot, row, columns = np.uint64(market), np.uint64(i), shares.shape[1]
    counts, boxes, split_columns, inner = trees.counts, trees.boxes, trees.columns, trees.values.shape[2]
    for number in range(places.shape[0]):
        t = np.uint64(number)
        heap = places[t] + np.uint64(inner) + _ONE
        count = max(int(counts[slot, t, _ZERO]), 1)
        for depth in range(bottom):
            node = heap >> np.uint64(bottom - depth - 1)
            above, count = count, max(int(counts[slot, t, node - _ONE]), 1)
            if above > 2 * count:
                column = np.uint64(split_columns[slot, t, (node >> _ONE) - _ONE])
                shares[row, column] += np.log2(above / count) - 1.0
        below = _below(rules.depth_of, count)
        if not outside[t] or not rules.sees_outside or below <= 0.0:
            continue
        leaf, total = int(np.int64(places[t])), 0.0
        for k in range(columns):
            total += _beyond(boxes, market, number, leaf, lanes, i, columns, k)
        if total > 0.0:
            spared = below * _spared(boxes, market, number, leaf, lanes, i, columns)
            for k in range(columns):
                beyond = _beyond(boxes, market, number, leaf, lanes, i, columns, k)
                shares[i, k] += 2.0 * spared * beyond / total


@njit(cache=True)
def measure(trees: Trees, slot: int, number: int, depth_of: FloatVector, lengths: FloatCube) -> None:
    """Write the length of the paths to each leaf of a tree: its depth, and the cuts that it still needs."""
    places = trees.depths.shape[2]
    for place in range(places):
        below = _below(depth_of, int(trees.counts[slot, number, place + places - 1]))
        lengths[slot, number, place] = int(trees.depths[slot, number, place]) + below


@njit(cache=True)
def _fall(
    values: NDArray[np.float32],
    split_columns: NDArray[np.uint16],
    slot: np.uint64,
    points: NDArray[np.float32],
    i: int,
    first: int,
    bottom: int,
    places: NDArray[np.uint64],
) -> None:
    """Write the place where point i ends in each tree; its columns are those from `first` on.

    Level by level: the steps in all trees do not wait for one another.
    """
    offset, inner = np.uint64(first), np.uint64(values.shape[2])
    places[:] = _ZERO
    for _ in range(bottom):
        for number in range(places.shape[0]):
            t = np.uint64(number)
            node = places[t]
            is_above = points[i, offset + np.uint64(split_columns[slot, t, node])] > values[slot, t, node]
            places[t] = node + node + _ONE + np.uint64(is_above)
    for number in range(places.shape[0]):
        places[number] -= inner


@njit(cache=True)
def _score(  # noqa: PLR0917 - as above
    trees: Trees,
    lengths: FloatCube,
    market: int,
    lanes: NDArray[np.float32],
    i: int,
    columns: int,
    rules: Rules,
    places: NDArray[np.uint64],
    outside: NDArray[np.uint8],
) -> float:
    """Return the lengths of the paths to the places of a point, of all trees together.

    Writes in which trees it lies outside the box of its leaf.
    """
    slot, inner, total = np.uint64(market), np.uint64(trees.values.shape[2]), 0.0
    boxes = trees.boxes
    width, row = np.uint64(lanes.shape[1]), np.uint64(i * lanes.shape[1])
    trees_each, places_each = np.uint64(boxes.shape[1]), np.uint64(boxes.shape[2])
    for number in range(places.shape[0]):
        t = np.uint64(number)
        place = places[t]
        beyond = False
        box = ((slot * trees_each + t) * places_each + place) * width
        for block in range(0, lanes.shape[1], LANES):
            k = np.uint64(block)
            beyond |= is_any_above(lanes, row + k, boxes, box + k)  # type: ignore[call-arg] # context is numba's
        outside[t] = beyond
        length = lengths[slot, t, place]
        if beyond and rules.sees_outside:
            below = _below(rules.depth_of, int(trees.counts[slot, t, place + inner]))
            if below > 0.0:
                below -= below * _spared(boxes, market, number, int(np.int64(place)), lanes, i, columns)
                length = int(trees.depths[slot, t, place]) + below
        total += length
    return total


@njit(cache=True)
def _learn(  # noqa: PLR0917 - as above
    trees: Trees,
    lengths: FloatCube,
    market: int,
    lanes: NDArray[np.float32],
    i: int,
    limit: float,
    size: int,
    bottom: int,
    columns: int,
    rules: Rules,
    places: NDArray[np.uint64],
    outside: NDArray[np.uint8],
) -> None:
    """Add a point to the leaves at its places, and split those that have enough points."""
    slot, inner = np.uint64(market), np.uint64(trees.values.shape[2])
    counts, boxes = trees.counts, trees.boxes
    for number in range(places.shape[0]):
        t = np.uint64(number)
        place = places[t]
        if outside[t]:
            for block in range(0, lanes.shape[1], LANES):
                for k in range(block, block + LANES):
                    at = np.uint64(k)
                    boxes[slot, t, place, at] = max(boxes[slot, t, place, at], lanes[i, at])
        heap = place + inner + _ONE
        for level in range(bottom + 1):
            counts[slot, t, (heap >> np.uint64(level)) - _ONE] += 1
        count, depth = int(counts[slot, t, heap - _ONE]), int(trees.depths[slot, t, place])
        if count >= rules.max_leaf << depth and depth < limit:
            tree = _tree(trees, market, number, bottom)
            _grow(tree, int(np.int64(place)), columns, limit, rules.max_leaf, 2 * size)
            measure(trees, market, number, rules.depth_of, lengths)
        else:
            lengths[slot, t, place] = depth + _below(rules.depth_of, count)


@njit(cache=True)
def _forget(
    trees: Trees,
    lengths: FloatCube,
    market: int,
    leaving: NDArray[np.float32],
    i: int,
    bottom: int,
    rules: Rules,
    places: NDArray[np.uint64],
) -> None:
    """Take a point out of the leaves at its places, and merge what has too few points now."""
    slot, inner = np.uint64(market), np.uint64(trees.values.shape[2])
    counts, values = trees.counts, trees.values
    for number in range(places.shape[0]):
        t = np.uint64(number)
        place = places[t]
        heap = place + inner + _ONE
        is_low = False
        for depth in range(bottom):
            node = (heap >> np.uint64(bottom - depth)) - _ONE
            count = counts[slot, t, node] - 1
            counts[slot, t, node] = count
            is_low |= (count < rules.max_leaf << depth) & (values[slot, t, node] < np.inf)
        count = counts[slot, t, heap - _ONE] - 1
        counts[slot, t, heap - _ONE] = count
        if is_low:
            _prune(_tree(trees, market, number, bottom), leaving, i, rules.max_leaf)
            measure(trees, market, number, rules.depth_of, lengths)
        else:
            lengths[slot, t, place] = int(trees.depths[slot, t, place]) + _below(rules.depth_of, int(count))


@njit(cache=True)
def _take_in(  # noqa: PLR0917 - compiled; buffers come by position
    slot: int,
    start: int,
    end: int,
    rows: FloatMatrix,
    points: FloatMatrix,
    memory: Memory,
    rules: Rules,
    lanes: NDArray[np.float32],
    leaving: NDArray[np.float32],
    sequence: IntVector,
    depths: FloatVector,
) -> None:
    """Bring points to the trees' shape, decide which are learned, and put those into the window.

    A row with a number that is none has no depth and is not learned.
    """
    size, columns = memory.window.shape[1], memory.window.shape[2]
    for i in range(start, end):
        is_number = not np.isnan(rows[i, rules.time_column])
        for k in range(columns):
            is_number &= not np.isnan(points[i, k])
            value = min(max(points[i, k], -LARGEST), LARGEST)
            lanes[i, k] = -value
            lanes[i, columns + k] = value
        lanes[i, 2 * columns :] = 0.0
        sequence[i] = -1
        depths[i] = 0.0
        if not is_number:
            lanes[i] = 0.0
            depths[i] = np.nan
            continue
        memory.since_s[slot] += rows[i, rules.time_column]
        taken = memory.taken[slot]
        if taken < size or memory.since_s[slot] >= rules.spacing_s:
            at = taken % size
            for k in range(columns):
                leaving[i, k] = memory.window[slot, at, k]
                memory.window[slot, at, k] = lanes[i, columns + k]
            sequence[i] = taken
            memory.taken[slot] = taken + 1
            memory.since_s[slot] = 0.0


@njit(cache=True)
def score_learn(  # noqa: PLR0917 - compiled; buffers come by position
    slots: IntVector,
    starts: IntVector,
    rows: FloatMatrix,
    points: FloatMatrix,
    wanted: BoolVector,
    memory: Memory,
    trees: Trees,
    lengths: FloatCube,
    rules: Rules,
    scores: FloatVector,
    shares: FloatMatrix,
) -> None:
    """Score, learn and forget the rows of many markets, row by row.

    Args:
        slots: of the markets, m.
        starts: m + 1, as in `Runs`.
        rows: n rows of features.
        points: what the trees look at of them.
        wanted: n, rows whose shares are asked for.
        memory: changed.
        trees: changed.
        lengths: (slots, trees, 2^depth), what `measure` writes; changed.
        rules: for all markets.
        scores: n, filled.
        shares: n rows, one column per column of the points; filled.
    """
    n, columns = points.shape
    size = memory.window.shape[1]
    lanes = np.empty((n, trees.boxes.shape[3]), np.float32)
    leaving = np.empty((n, columns), np.float32)
    sequence = np.empty(n, np.int64)
    places = np.empty(trees.values.shape[1], np.uint64)
    outside = np.empty(trees.values.shape[1], np.uint8)
    full = rules.depth_of[size]
    shares[:] = 0.0
    bottom = 0
    while (1 << bottom) < trees.depths.shape[2]:
        bottom += 1
    for run in range(slots.shape[0]):
        slot, start, end = slots[run], starts[run], starts[run + 1]
        _take_in(slot, start, end, rows, points, memory, rules, lanes, leaving, sequence, scores)
        market = np.uint64(slot)
        for i in range(start, end):
            _fall(trees.values, trees.columns, market, lanes, i, columns, bottom, places)
            scores[i] += _score(trees, lengths, slot, lanes, i, columns, rules, places, outside)
            if wanted[i]:
                _explain(trees, slot, lanes, i, rules, bottom, places, outside, shares)
            if sequence[i] < 0:
                continue
            limit = rules.depth_of[min(sequence[i], size) + 1]
            _learn(trees, lengths, slot, lanes, i, limit, size, bottom, columns, rules, places, outside)
            if sequence[i] >= size:
                _fall(trees.values, trees.columns, market, leaving, i, 0, bottom, places)
                _forget(trees, lengths, slot, leaving, i, bottom, rules, places)
        for i in range(start, end):
            if 0 <= sequence[i] < size or np.isnan(scores[i]):
                scores[i] = np.nan
                shares[i, :] = 0.0
                continue
            scores[i] = np.exp2(-scores[i] / trees.values.shape[1] / full)
            isolated = shares[i].sum()
            if isolated > 0.0:
                shares[i] /= isolated
