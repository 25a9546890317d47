"""Whether the score for wash trading tells a washed market from others, and what it costs in false alarms.

The market that is taken for washed is ALPINEBTC of April 2022; there is no truth beside that opinion. All
other recordings count as ordinary, whatever went on there. Windows are those of the detector, 1,024 trades, a
quarter apart. `left out` judges each ordinary market by a reference that was measured without it.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks import pictures
from benchmarks.report import Row, Table, show_tables
from benchmarks.wash_order_ids import neighbours
from benchmarks.wash_planted import SHARES, WAYS, found
from benchmarks.wash_windows import SUSPECTED, Windows, batches, disjoint, judge, tapes
from detector.arrays import FloatMatrix, FloatVector
from detector.evaluation.intervals import share_interval
from detector.kernels import wash as kernel
from detector.kernels.wash import Reference
from detector.patterns import wash_reference
from detector.patterns.wash_trading import WASH_TESTS, WashTradingParams, make_reference
from shared.pictures import check_path
from shared.stream.columns import TradeColumns

_SHOWN: Final = 12
_PLANTED_INTO: Final = 20
_LEVELS: Final = (0.1, 0.05, 0.01, 0.001)
_BOOTSTRAPS: Final = 2_000


def run(*, reference: bool, plot: Path | None, write: Path | None) -> None:
    """Measure and print.

    Args:
        reference: whether to print the table of ordinary markets anew, and nothing else.
        plot: picture to write, of all windows' scores.
        write: Markdown file whose section is replaced by the result.

    Raises:
        TapewatchError: there is no recording of the washed market.
    """
    if plot is not None:
        check_path(plot)
    folder = Path(os.environ.get("REAL_DATA_DIR") or "../shared/data")
    recordings = tapes(folder)
    every = []
    for name, tape in recordings.items():
        sys.stderr.write(f"judging {name}\n")
        windows = judge(name, batches(tape))
        every += [] if windows is None else [windows]
    washed = next(windows for windows in every if windows.market == SUSPECTED)
    ordinary = [windows for windows in every if windows.market != SUSPECTED]
    if reference:
        _print_reference(ordinary)
        return
    if plot is not None:
        pictures.scores_by_market(
            plot,
            {windows.market: windows.scores for windows in every},
            threshold=WashTradingParams().threshold,
            title="wash trading: the score of every window, market by market",
        )
    left_out = _left_out(ordinary)
    show_tables(
        "wash",
        [
            Table(
                title=f"{len(washed.scores)} windows of {SUSPECTED} against {len(ordinary)} other markets",
                rows=[
                    _separation("score", washed, ordinary),
                    _separation("score, left out", washed, left_out),
                    *(
                        _separation(test, _only(washed, k), [_only(one, k) for one in ordinary])
                        for k, test in enumerate(WASH_TESTS)
                    ),
                ],
                note="gap: the lowest window of the one less the highest of the others; markets below: those "
                "none of whose windows reaches the lowest of the one, with Wilson's interval; that of "
                "the AUC is a bootstrap over markets, and over windows without common trades",
            ),
            Table(title="alarms", rows=[*_alarms(every)]),
            Table(
                title=f"highest window of {SUSPECTED} and of the {_SHOWN} highest others",
                rows=_highest(every),
                note="p-values of each test in that window alone; the score is averaged over an hour",
            ),
            Table(
                title="honesty: share of ordinary windows with such a p-value, left out, markets alike",
                rows=_honesty(left_out),
            ),
            Table(
                title=f"planted into {_PLANTED_INTO} ordinary markets: told, by its share of the trades",
                rows=_planted(recordings, ordinary),
                note="told within 3,072 trades; share 0 is what is told of the same trades without any",
            ),
            Table(
                title=f"order ids of {SUSPECTED}",
                rows=neighbours(folder / "frames/binance-spot" / f"{SUSPECTED}.json"),
                note="who wants his own orders met places them one after the other",
            ),
        ],
        write=write,
    )


def fit(ordinary: Sequence[Windows]) -> tuple[FloatMatrix, FloatMatrix]:
    """Return what shares of windows reach in each test, and the covariance of minus their logarithms.

    Every market has the same weight, however many windows it has.
    """
    weights = np.concatenate([np.full(len(one.scores), 1.0 / len(one.scores)) for one in ordinary])
    weights /= weights.sum()
    values = np.concatenate([one.values for one in ordinary])
    table = np.empty((kernel.TESTS, len(wash_reference.SHARES)))
    for test in range(kernel.TESTS):
        order = np.argsort(-values[:, test], kind="stable")
        reached = np.cumsum(weights[order])
        places = np.searchsorted(reached, np.array(wash_reference.SHARES) - 1e-9)
        table[test] = values[order, test][np.minimum(places, len(order) - 1)]
    logs = _logs(values, make_reference(table, np.eye(kernel.TESTS)))
    centred = logs - weights @ logs
    return table, centred.T @ (centred * weights[:, None])


def _logs(values: FloatMatrix, reference: Reference) -> FloatMatrix:
    return np.array(
        [[kernel.surprise(reference, k, value) for k, value in enumerate(row)] for row in values.tolist()]
    )


def _left_out(ordinary: Sequence[Windows]) -> list[Windows]:
    """Return each market as judged by all others."""
    judged = []
    for place, one in enumerate(ordinary):
        sys.stderr.write(f"leaving out {one.market}\n")
        table, covariance = fit([*ordinary[:place], *ordinary[place + 1 :]])
        reference = make_reference(table, covariance)
        logs = _logs(one.values, reference)
        judged.append(one._replace(logs=logs, scores=_scores(one, logs, reference)))
    return judged


def _scores(one: Windows, logs: FloatMatrix, reference: Reference) -> FloatVector:
    """Return the scores that the detector would have given with another reference."""
    scores, lasting = np.empty(len(logs)), np.zeros(kernel.TESTS)
    before_s = one.ends_s[0] - one.spans_s[0]
    for k, end_s in enumerate(one.ends_s):
        lasting += -np.expm1(-max(end_s - before_s, 0.0) / WashTradingParams().lasting_s) * (
            logs[k] - lasting
        )
        total = float(reference.weights @ lasting)
        scores[k] = -kernel.log_survival(reference.shape, total / reference.scale) / np.log(10.0)
        before_s = end_s
    return scores


def _only(one: Windows, test: int) -> Windows:
    return one._replace(scores=one.values[:, test])


def _separation(name: str, washed: Windows, ordinary: Sequence[Windows]) -> Row:
    parts = [one.scores for one in ordinary]
    independent = washed.scores[disjoint(washed)]
    rng = np.random.default_rng(1)
    drawn = [
        _auc(
            rng.choice(independent, len(independent)),
            [parts[k] for k in rng.integers(0, len(parts), len(parts))],
        )
        for _ in range(_BOOTSTRAPS)
    ]
    below = sum(part.max() < washed.scores.min() for part in parts)
    low, high = share_interval(below, len(parts))
    return Row(
        name=name,
        values={
            "auc": _auc(washed.scores, parts),
            "auc_from": float(np.quantile(drawn, 0.025)),
            "auc_to": float(np.quantile(drawn, 0.975)),
            "gap": float(washed.scores.min() - max(part.max() for part in parts)),
            "markets_below": below / len(parts),
            "markets_below_from": low,
            "markets_below_to": high,
        },
    )


def _auc(scores: FloatVector, parts: Sequence[FloatVector]) -> float:
    """Return the probability that a score is above one of an ordinary market, ties counting half."""
    shares = []
    for part in parts:
        ordered = np.sort(part)
        below, up_to = np.searchsorted(ordered, scores, "left"), np.searchsorted(ordered, scores, "right")
        shares.append((below + up_to).mean() / (2.0 * len(ordered)))
    return float(np.mean(shares))


def _alarms(every: Sequence[Windows]) -> list[Row]:
    ordinary = [one for one in every if one.market != SUSPECTED]
    groups = {
        SUSPECTED: [one for one in every if one.market == SUSPECTED],
        "all others": ordinary,
        **{one.market: [one] for one in ordinary if one.alarms},
    }
    rows = []
    for name, group in groups.items():
        alarms, days = sum(one.alarms for one in group), sum(one.days for one in group)
        rows.append(
            Row(
                name=name,
                values={
                    "markets": len(group),
                    "days": days,
                    "alarms": alarms,
                    "per_market_and_day": alarms / days,
                    "per_market_and_30_days": 30.0 * alarms / days,
                },
            )
        )
    return rows


def _highest(every: Sequence[Windows]) -> list[Row]:
    others = sorted((one for one in every if one.market != SUSPECTED), key=lambda one: -one.scores.max())
    rows = []
    for one in [*(one for one in every if one.market == SUSPECTED), *others[:_SHOWN]]:
        best = int(one.scores.argmax())
        p_values = {
            f"p_{test}": float(np.exp(-log)) for test, log in zip(WASH_TESTS, one.logs[best], strict=True)
        }
        scores = {"score": float(one.scores[best]), "median": float(np.median(one.scores))}
        rows.append(Row(name=one.market, values=scores | p_values))
    return rows


def _honesty(left_out: Sequence[Windows]) -> list[Row]:
    rows = []
    for test, name in [*enumerate(WASH_TESTS), (-1, "all together")]:
        shares = {}
        for level in _LEVELS:
            per_market = [
                np.mean((one.scores * np.log(10.0) if test < 0 else one.logs[:, test]) >= -np.log(level))
                for one in left_out
            ]
            shares[f"p <= {level:g}"] = float(np.mean(per_market))
        rows.append(Row(name=name, values=shares))
    return rows


def _planted(recordings: dict[str, TradeColumns], ordinary: Sequence[Windows]) -> list[Row]:
    """Return what is found of planted washing, on markets that trade for days."""
    slow = [one.market for one in ordinary if one.days > 5.0]
    chosen = [recordings[name] for name in slow[:: max(1, len(slow) // _PLANTED_INTO)][:_PLANTED_INTO]]
    rows = []
    for way in WAYS:
        sys.stderr.write(f"planting: {way}\n")
        told = {f"{share:g}": found(chosen, way=way, share=share) / len(chosen) for share in (0.0, *SHARES)}
        rows.append(Row(name=way, values=told))
    return rows


def _print_reference(ordinary: Sequence[Windows]) -> None:
    values, covariance = fit(ordinary)
    print(f"VALUES: Final = {_literal(values)}\nCOVARIANCE: Final = {_literal(covariance.round(3))}")


def _literal(table: FloatMatrix) -> str:
    rows = (", ".join(repr(float(f"{value:.4g}")) for value in row) for row in table)
    return "(\n" + "".join(f"    ({row}),\n" for row in rows) + ")"
