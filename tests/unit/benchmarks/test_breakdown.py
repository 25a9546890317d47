import time

from benchmarks.breakdown import Parts


def burn(ms: int) -> None:
    until_ns = time.thread_time_ns() + ms * 1_000_000
    while time.thread_time_ns() < until_ns:
        pass


class Outer:
    def __init__(self) -> None:
        self.inner = Inner()

    def work(self) -> str:
        burn(2)
        return f"outer {self.inner.work(3)}"


class Inner:
    def work(self, ms: int) -> str:
        burn(ms)
        if ms > 3:
            raise ValueError("too much")
        return "inner"


def test_time_belongs_to_the_innermost_part_and_adds_up() -> None:
    outer = Outer()
    began_ns = time.thread_time_ns()
    parts = Parts("rest")
    parts.watch(outer, "work", "outer")
    parts.watch(outer.inner, "work", "inner")
    assert outer.work() == "outer inner"
    burn(1)
    spent_ns = parts.finish()
    whole_ns = time.thread_time_ns() - began_ns
    assert set(spent_ns) == {"rest", "outer", "inner"}
    assert spent_ns["inner"] >= 3_000_000
    assert spent_ns["outer"] >= 2_000_000
    assert spent_ns["rest"] >= 1_000_000
    assert sum(spent_ns.values()) <= whole_ns


def test_a_part_ends_when_it_raises() -> None:
    inner = Inner()
    parts = Parts("rest")
    parts.watch(inner, "work", "inner")
    try:
        inner.work(4)
    except ValueError:
        burn(2)
    assert parts.finish()["rest"] >= 2_000_000
