"""The library in a minute: fit a detector to candles, judge a table, judge a record, ask why.

Run from the root of the repository: `.venv/bin/python -m examples.quick_start`
"""

import numpy as np
import pandas as pd

from detector import MADDetector, create_crypto_isolation_forest

FEATURES = ["close", "volume", "returns"]


def candles(minutes: int, *, seed: int) -> pd.DataFrame:
    """Return minutes of a market like a random walk, with one that is not: a fall of 8 % on huge volume."""
    random = np.random.default_rng(seed)
    returns = 0.001 * random.standard_t(4, minutes)
    volume = random.lognormal(11.0, 0.5, minutes)
    returns[minutes // 2], volume[minutes // 2] = -0.08, 2_000_000.0
    close = 50_000.0 * np.exp(returns.cumsum())
    return pd.DataFrame({"close": close, "volume": volume, "returns": returns})


def main() -> None:
    """Print what is found, and why."""
    price_data = candles(2_000, seed=1)

    detector = create_crypto_isolation_forest(price_data, features=FEATURES, contamination=0.05)
    labels, scores = detector.detect(price_data[FEATURES])
    print(f"{labels.sum()} of {len(labels)} minutes are anomalies; the strangest is minute {scores.argmax()}")

    is_anomaly, score = detector.detect_realtime({"close": 50_000, "volume": 1_000_000, "returns": 0.05})
    print(f"a record: anomaly {is_anomaly}, score {score:.3f} of {detector.threshold_:.3f}")

    explained = detector.explain(price_data.iloc[[int(scores.argmax())]][FEATURES])
    for feature, share in zip(explained.features, explained.contributions[0], strict=True):
        print(f"  {feature} adds {share:+.3f}")

    within_an_hour = MADDetector(threshold=8.0, window=60).fit(price_data[["returns"]][:60])
    labels, scores = within_an_hour.detect(price_data[["returns"]][60:])
    print(f"against the hour before: {labels.sum()}, the strangest is minute {60 + scores.argmax()}")


if __name__ == "__main__":
    main()
