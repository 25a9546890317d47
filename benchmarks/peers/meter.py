"""What a trade costs a job that has got going: taken in the same way for all contestants.

As in `benchmarks.steady`, and with nothing of this project: the time of the thread that works is counted from
a warm-up on, that of the libraries' threads, which read ahead of it, from the first trade on.
"""

import json
import time
from typing import Final

# Enough for every partition to have its turn.
_WARM_UP_SHARE: Final = 0.4


class Meter:
    """Counts trades, and takes the time at the first, at the end of the warm-up, and at the last.

    Args:
        trades: in all.
    """

    def __init__(self, trades: int) -> None:
        self._trades = trades
        self._seen = 0
        self._next = 1
        # Trades seen, CPU of this thread, CPU of the others, time; each in seconds.
        self._marks: list[tuple[int, float, float, float]] = []

    def count(self, trades: int = 1) -> bool:
        """Note that so many more trades are done, and return whether these were the last."""
        self._seen += trades
        if self._seen >= self._next:
            self._mark()
        return self._seen >= self._trades

    def _mark(self) -> None:
        own_s = time.thread_time()
        self._marks.append((self._seen, own_s, time.process_time() - own_s, time.perf_counter()))
        is_warm = self._seen >= _WARM_UP_SHARE * self._trades
        self._next = self._trades if is_warm else int(_WARM_UP_SHARE * self._trades)

    def result(self) -> str:
        """Return one line of JSON: microseconds per trade, of CPU and of time."""
        first, *_, warm, last = self._marks
        counted = last[0] - warm[0]
        own_us = (last[1] - warm[1]) / counted * 1e6
        threads_us = (last[2] - first[2]) / (last[0] - first[0]) * 1e6
        wall_us = (last[3] - warm[3]) / counted * 1e6
        return json.dumps({"cpu_us": own_us + threads_us, "wall_us": wall_us})
