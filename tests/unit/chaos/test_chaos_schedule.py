"""Schedules of faults."""

from tests.chaos.schedule import BROKER, Action, ScheduleParams, make_schedule


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert make_schedule(ScheduleParams(seed=5, length_s=600)) == make_schedule(
        ScheduleParams(seed=5, length_s=600)
    )
    assert make_schedule(ScheduleParams(seed=5, length_s=600)) != make_schedule(
        ScheduleParams(seed=6, length_s=600)
    )


def test_the_first_four_faults_are_one_of_each_kind() -> None:
    for seed in range(20):
        kinds = {
            (f.action, f.target == BROKER) for f in make_schedule(ScheduleParams(seed=seed, length_s=70))
        }
        assert kinds >= {
            (Action.KILL, True),
            (Action.KILL, False),
            (Action.FREEZE, False),
            (Action.RESTART, False),
        }


def test_nothing_happens_to_what_is_frozen_or_down() -> None:
    for seed in range(20):
        busy_until_s: dict[str, float] = {}
        for fault in make_schedule(ScheduleParams(seed=seed, length_s=1_800)):
            assert fault.at_s >= busy_until_s.get(fault.target, 0.0)
            busy_until_s[fault.target] = fault.at_s + fault.lasts_s
