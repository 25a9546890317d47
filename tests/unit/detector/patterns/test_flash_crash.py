"""Flash crash: depth, count, window and the sentence."""

import numpy as np
import pytest

from detector.features import feature_names
from detector.online.protocol import Finding
from detector.patterns.flash_crash import FlashCrash, FlashCrashParams
from detector.runs import Runs

WINDOWS = (1.0, 10.0, 60.0, 300.0, 42.0)


def test_the_fall_is_measured_in_its_own_window() -> None:
    names = feature_names(WINDOWS)
    rows = np.full((2, len(names)), 50.0)
    rows[:, names.index("drawdown_42s")] = [-0.05, -0.11]
    rows[:, names.index("drawdown_300s")] = -0.9
    rows[:, names.index("count_42s")] = [50, 9]
    crash = FlashCrash(FlashCrashParams(window_s=42.0), features=names)
    scored = crash.score_learn(Runs.single(0, len(rows)), rows)
    assert scored.scores == pytest.approx([5.0, 11.0])
    assert scored.eligible.tolist() == [True, False]
    assert crash.columns == ("drawdown_42s",)
    assert (crash.threshold, crash.window_s) == (10.0, 42.0)


def test_the_sentence_says_from_where_to_where() -> None:
    crash = FlashCrash(FlashCrashParams(), features=feature_names(WINDOWS))
    fall = 1.0 - 0.0564 / 0.0643
    finding = Finding(
        symbol="SKY-USDT",
        price=0.0564,
        features={"drawdown_300s": -fall, "drawdown_age_300s": 210.0},
        contributions={"drawdown_300s": 1.0},
        score=fall * 100.0,
        usual_score=float("nan"),
        rarity=None,
        trades_per_day=1_000.0,
    )
    assert crash.sentence(finding) == "SKY-USDT fell 12.3 % within 3.5 min (from 0.0643 to 0.0564)."


@pytest.mark.parametrize("drop_pct", [0.0, 100.0])
def test_params_are_checked(drop_pct: float) -> None:
    with pytest.raises(ValueError, match="drop_pct"):
        FlashCrashParams(drop_pct=drop_pct)
