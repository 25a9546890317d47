"""Mean and squared deviations of the last `window` rows, from which nothing is ever subtracted.

A running sum from which old values are subtracted is wrong for ever after one huge value. Here the window
consists of parts that only ever grow, and are forgotten whole:

- rows lie in blocks of `BLOCK`; a finished block has its moments;
- the older part of the window goes up to a border between two blocks. When a block becomes the oldest one,
  each of its rows gets the moments from itself to the border, going backwards;
- the newer part grows by one row at a time;
- when the oldest block reaches the border, the border moves up to the newest block.

So the moments of the window are those of two parts merged (Chan), a row costs O(1), and the most expensive
one O(window / BLOCK + BLOCK), where the usual queue of two stacks rebuilds all `window` rows at once. What is
kept follows from the rows in the window and from how many came before: that is all that a snapshot needs.

Reference: T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for computing the sample variance", The
American Statistician 37 (1983); K. Tangwongsan, M. Hirzel, S. Schneider, "Low-latency
sliding-window aggregation in worst-case constant time", DEBS 2017.
"""

from typing import Final

from numba import njit

from detector.arrays import FloatCube, FloatMatrix, IntVector

BLOCK: Final = 32
_MEAN, _M2 = range(2)


def blocks(window: int) -> int:
    """Return how many blocks a window touches at most; its ring has room for so many."""
    return window // BLOCK + 2


@njit(cache=True)
def _border(seen: int, window: int) -> int:
    """Return the block at which the newer part starts, after `seen` rows."""
    per_flip = window // BLOCK
    return ((seen - window) // BLOCK // per_flip + 1) * per_flip if seen >= window else 0


@njit(cache=True)
def _grow(moments: FloatCube, at: int, count: int, rows: FloatMatrix, i: int) -> None:
    """Add row `i` to the moments number `at`, which are those of `count` rows."""
    share = 1.0 / (count + 1)
    for k in range(rows.shape[1]):
        delta = rows[i, k] - moments[at, _MEAN, k]
        mean = moments[at, _MEAN, k] + delta * share
        moments[at, _MEAN, k] = mean
        moments[at, _M2, k] += delta * (rows[i, k] - mean)


@njit(cache=True)
def _sum_block(block: int, ring: FloatMatrix, totals: FloatCube) -> None:
    """Compute the moments of a finished block."""
    at = block % totals.shape[0]
    totals[at] = 0.0
    for i in range(BLOCK):
        _grow(totals, at, i, ring, at * BLOCK + i)


@njit(cache=True)
def _join_blocks(first: int, border: int, totals: FloatCube, joined: FloatCube) -> None:
    """Give each block from `first` to before `border` the moments from itself to the border."""
    for block in range(border - 1, first - 1, -1):
        at, later = block % totals.shape[0], (block + 1) % totals.shape[0]
        blocks_after = border - 1 - block
        share = blocks_after / (blocks_after + 1.0)
        for k in range(totals.shape[2]):
            mean, m2 = totals[at, _MEAN, k], totals[at, _M2, k]
            if blocks_after > 0:
                delta = joined[later, _MEAN, k] - mean
                mean += delta * share
                m2 += joined[later, _M2, k] + delta * delta * (BLOCK * share)
            joined[at, _MEAN, k] = mean
            joined[at, _M2, k] = m2


@njit(cache=True)
def _open_block(
    block: int, since: int, border: int, ring: FloatMatrix, joined: FloatCube, older: FloatCube
) -> None:
    """Give each row of the oldest block, from row `since` of it on, the moments from itself to the border."""
    at, later = block % joined.shape[0], (block + 1) % joined.shape[0]
    count = (border - 1 - block) * BLOCK
    for i in range(BLOCK - 1, since - 1, -1):
        for k in range(ring.shape[1]):
            for moment in range(2):
                if i < BLOCK - 1:
                    older[i, moment, k] = older[i + 1, moment, k]
                elif count > 0:
                    older[i, moment, k] = joined[later, moment, k]
                else:
                    older[i, moment, k] = 0.0
        _grow(older, i, count, ring, at * BLOCK + i)
        count += 1


@njit(cache=True)
def _grow_newer(border: int, seen: int, ring: FloatMatrix, newer: FloatCube) -> None:
    """Compute the moments from the border on."""
    newer[:] = 0.0
    for at in range(border * BLOCK, seen):
        _grow(newer, 0, at - border * BLOCK, ring, at % ring.shape[0])


@njit(cache=True)
def learn(  # noqa: PLR0917 - compiled; buffers come by position
    rows: FloatMatrix,
    i: int,
    seen: int,
    window: int,
    borders: IntVector,
    slot: int,
    ring: FloatMatrix,
    totals: FloatCube,
    joined: FloatCube,
    older: FloatCube,
    newer: FloatCube,
) -> None:
    """Take in row `i`, which has the number `seen`, counted from 0.

    Args:
        rows: one value per column.
        i: which of them.
        seen: rows that were learned before.
        window: rows that matter, at least `BLOCK`.
        borders: block at which the newer part begins, by slot.
        slot: whose window it is.
        ring: the rows, as many as `blocks(window)` blocks hold.
        totals: moments of every finished block.
        joined: moments of the blocks of the older part, each up to the border.
        older: moments of the rows of the oldest block, each up to the border.
        newer: one: the moments from the border on.
    """
    at = seen % ring.shape[0]
    for k in range(rows.shape[1]):
        ring[at, k] = rows[i, k]
    _grow(newer, 0, seen - borders[slot] * BLOCK, rows, i)
    if (seen + 1) % BLOCK == 0:
        _sum_block(seen // BLOCK, ring, totals)
    first = seen + 1 - window
    if first < 0 or first % BLOCK != 0:
        return
    border = _border(seen + 1, window)
    if border != borders[slot]:
        borders[slot] = border
        _join_blocks(first // BLOCK + 1, border, totals, joined)
        _grow_newer(border, seen + 1, ring, newer)
    _open_block(first // BLOCK, 0, border, ring, joined, older)


@njit(cache=True)
def restore(  # noqa: PLR0917 - compiled; buffers come by position
    seen: int,
    window: int,
    borders: IntVector,
    slot: int,
    ring: FloatMatrix,
    totals: FloatCube,
    joined: FloatCube,
    older: FloatCube,
    newer: FloatCube,
) -> None:
    """Compute everything but the ring anew, bit-identically; arguments as of `learn`, `seen` rows learned."""
    border = _border(seen, window)
    borders[slot] = border
    first = max(seen - window, 0)
    for block in range(-(-first // BLOCK), seen // BLOCK):
        _sum_block(block, ring, totals)
    _grow_newer(border, seen, ring, newer)
    if seen >= window:
        _join_blocks(first // BLOCK + 1, border, totals, joined)
        _open_block(first // BLOCK, first % BLOCK, border, ring, joined, older)


@njit(cache=True)
def moments(
    seen: int, window: int, border: int, older: FloatCube, newer: FloatCube, out: FloatMatrix
) -> None:
    """Write mean and sample variance of each column; `seen` rows were learned, at least `window`.

    Args:
        seen: as of `learn`, after the last row.
        window: as of `learn`.
        border: of this window.
        older: as of `learn`.
        newer: as of `learn`.
        out: means, and below them variances.
    """
    old = (seen - window) % BLOCK
    new_count = seen - border * BLOCK
    share = new_count / window
    weight = share * (window - new_count)
    scale = 1.0 / (window - 1)
    for k in range(out.shape[1]):
        delta = newer[0, _MEAN, k] - older[old, _MEAN, k]
        out[_MEAN, k] = older[old, _MEAN, k] + delta * share
        out[_M2, k] = (older[old, _M2, k] + newer[0, _M2, k] + delta * delta * weight) * scale
