"""The windows benchmark compares like with like: without a spike, all libraries agree."""

import numpy as np
import pytest

from benchmarks import windows

JOBS = windows._jobs()


@pytest.mark.parametrize("name", JOBS)
def test_all_figures_are_those_of_the_same_windows(name: str) -> None:
    values = windows._prices(2_000)
    figures = np.array(JOBS[name](values))
    for i in (windows._WINDOW - 1, 1_000, 1_999):
        exact = windows._truth(values[i - windows._WINDOW + 1 : i + 1])
        assert np.allclose(figures[:, i], exact, rtol=1e-9)


def test_ours_is_right_after_a_spike_and_running_sums_are_not() -> None:
    values = windows._prices(2_000)
    values[200] = 1e12
    assert max(windows._accuracy("", JOBS["tapewatch"], values).values.values()) < 1e-9
    assert windows._accuracy("", JOBS["running sums (numpy)"], values).values["std"] > 0.5
