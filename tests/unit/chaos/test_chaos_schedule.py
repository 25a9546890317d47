"""Schedules of faults."""

from itertools import pairwise

from tests.chaos.schedule import BROKER, STORE, Action, ScheduleParams, make_schedule


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert make_schedule(ScheduleParams(seed=5, length_s=600)) == make_schedule(
        ScheduleParams(seed=5, length_s=600)
    )
    assert make_schedule(ScheduleParams(seed=5, length_s=600)) != make_schedule(
        ScheduleParams(seed=6, length_s=600)
    )


def test_the_first_faults_are_one_of_each_kind() -> None:
    for seed in range(20):
        kinds = [fault.kind for fault in make_schedule(ScheduleParams(seed=seed, length_s=300))][:8]
        assert sorted(kinds) == [
            "SIGKILL broker",
            "SIGKILL worker",
            "SIGSTOP worker",
            "SIGTERM worker",
            "disk full broker",
            "locked store",
            "poison trades",
            "slow broker",
        ]


def test_the_store_is_locked_for_longer_than_workers_wait_for_a_lock() -> None:
    locks = [f for f in make_schedule(ScheduleParams(seed=1, length_s=1_800)) if f.target == STORE]
    assert locks
    assert all(fault.action is Action.LOCK and 35 <= fault.lasts_s <= 150 for fault in locks)


def test_a_broker_has_time_to_come_back_before_it_is_hurt_again() -> None:
    for seed in range(20):
        schedule = make_schedule(ScheduleParams(seed=seed, length_s=1_800))
        hurt = [fault for fault in schedule if fault.target == BROKER]
        for before, after in pairwise(hurt):
            assert after.at_s >= before.at_s + before.lasts_s + 10


def test_nothing_happens_to_what_is_frozen_or_down() -> None:
    for seed in range(20):
        busy_until_s: dict[str, float] = {}
        for fault in make_schedule(ScheduleParams(seed=seed, length_s=1_800)):
            assert fault.at_s >= busy_until_s.get(fault.target, 0.0)
            busy_until_s[fault.target] = fault.at_s + fault.lasts_s
