import json
import time

from benchmarks.peers.meter import Meter


def burn(ms: float) -> None:
    until_s = time.thread_time() + ms / 1e3
    while time.thread_time() < until_s:
        pass


def test_the_warm_up_does_not_count() -> None:
    meter = Meter(10)
    seen = []
    for number in range(10):
        burn(20 if number < 4 else 1)
        seen.append(meter.count())
    figures = json.loads(meter.result())
    assert seen == [False] * 9 + [True]
    assert 1_000 <= figures["cpu_us"] < 5_000
    assert figures["wall_us"] >= 1_000


def test_trades_may_come_in_batches_of_any_size() -> None:
    meter = Meter(1_000)
    assert not meter.count(150)
    assert not meter.count(450)
    burn(4)
    assert meter.count(500)
    assert json.loads(meter.result())["cpu_us"] >= 4_000 / 500
