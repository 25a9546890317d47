import os
from pathlib import Path

import pytest

from alerter.rules.file import DEFAULT, WatchedRules, load, parse
from alerter.rules.matching import Labels
from alerter.rules.model import RulesFile
from alerter.rules.tree import Rules
from shared.errors import ConfigError
from shared.events import Severity

FAULTY = """
min_severity: medium
severity:
  - match: {kind: whale}
route:
  channels: ["*"]
  group_wait: 5
  routes:
    - match: {severity: huge}
      chanels: [slack]
    - match: {market: BTC-*}
      mute: [night]
"""


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, name="rules.yaml")
    return caught.value.faults


def test_the_default_is_sound_and_its_examples_too(tmp_path: Path) -> None:
    text = DEFAULT.read_text()
    file = load(DEFAULT)
    assert file.flood is not None
    assert file.route.routes == ()
    # The examples stand behind a comment sign.
    shown = text.replace("routes: []", "routes:").replace("\n  #  ", "\n    ")
    with_examples = tmp_path / "rules.yaml"
    with_examples.write_text(shown)
    assert len(load(with_examples).route.routes) == 3


def test_every_fault_is_told_with_line_and_field() -> None:
    found = faults(FAULTY)
    told = [
        "rules.yaml, line 4: severity.0: say at_least or at_most, or both",
        "rules.yaml, line 7: route.group_wait: '5' is no duration: write a number and a unit, like 30s",
        "rules.yaml, line 9: route.routes.0.match.severity: 'huge' is no severity: write low, medium",
        "rules.yaml, line 10: route.routes.0.chanels: there is no such field",
    ]
    assert [fault[: len(start)] for fault, start in zip(found, told, strict=True)] == told


def test_names_that_lead_nowhere_are_faults() -> None:
    text = "route:\n  escalation: urgent\n  routes:\n    - {match: {kind: whale}, mute: [night]}\n"
    assert faults(text) == [
        "rules.yaml, line 2: route.escalation: there is no escalation 'urgent'",
        "rules.yaml, line 4: route.routes.0.mute: there is no mute time 'night' in mute_times",
    ]


def test_two_routes_of_one_name_are_a_fault() -> None:
    text = "route:\n  routes:\n    - match: {kind: a}\n    - match: {kind: a}\n"
    assert faults(text) == [
        "rules.yaml, line 4: route.routes.1: a second route 'root > kind=a': give it a name of its own"
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [", "rules.yaml, line 1: is no YAML"),
        ("- 1", "rules.yaml, line 1: the file: Input should be a valid dictionary"),
        (
            "flood: {markets: 1}",
            "rules.yaml, line 1: flood.markets: Input should be greater than or equal to 2",
        ),
        (
            "escalations: {x: {levels: []}}",
            "rules.yaml, line 1: escalations.x.levels: Tuple should have at least",
        ),
    ],
)
def test_other_faults(text: str, fault: str) -> None:
    assert faults(text)[0].startswith(fault)


def test_an_empty_file_is_all_defaults() -> None:
    assert parse("", name="empty") == RulesFile()


def test_a_changed_file_is_taken_over_and_a_faulty_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("min_severity: low")
    watched = WatchedRules(path, cooldown_s=7)
    assert watched.file.route.cooldown == 7_000_000
    assert watched.changed() is None
    path.write_text("min_severity: nonsense")
    with pytest.raises(ConfigError, match="line 1: min_severity"):
        watched.changed()
    assert watched.changed() is None, "said once"
    assert watched.file.min_severity is Severity.LOW
    path.write_text("min_severity: critical")
    os.utime(path, ns=(1, 1))
    changed = watched.changed()
    assert changed is not None
    assert (changed.min_severity, changed.route.cooldown) == (Severity.CRITICAL, 7_000_000)


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        WatchedRules(tmp_path / "nothing.yaml")


TREE = """
route:
  channels: [chat]
  cooldown: 1m
  routes:
    - match: {kind: whale}
      cooldown: 2m
      continue: true
      routes:
        - {match: {market: BTC-*}, channels: [pager]}
    - {name: big, match: {severity: ">=high"}, channels: ["slack:*"]}
"""


def test_branches_inherit_and_the_deepest_that_match_are_taken() -> None:
    rules = Rules(parse(TREE, name="rules.yaml"), channels=["chat", "pager", "slack:#a", "slack:#b"])
    taken = rules.routes_of(Labels("BTC-USDT", "binance", "whale", Severity.HIGH))
    assert [route.name for route in taken] == ["root > kind=whale > market=BTC-*", "big"]
    assert [route.cooldown_us for route in taken] == [120_000_000, 60_000_000]
    assert rules.channels_of(taken[1].channels) == ("slack:#a", "slack:#b")
    assert [r.name for r in rules.routes_of(Labels("ETH-USDT", "x", "zscore", Severity.LOW))] == ["root"]


def test_a_pattern_that_means_no_channel_is_told() -> None:
    assert Rules(parse(TREE, name="rules.yaml"), channels=["chat"]).unknown_patterns() == ["pager", "slack:*"]


def test_a_route_that_is_gone_is_as_the_root() -> None:
    rules = Rules(parse(TREE, name="rules.yaml"), channels=["chat"])
    assert rules.route("gone").channels == ("chat",)
