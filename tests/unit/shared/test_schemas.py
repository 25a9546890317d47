"""The JSON Schema files against the events."""

import json
from pathlib import Path

import msgspec
import pytest
from jsonschema import Draft202012Validator, ValidationError

from shared import schemas
from shared.codec import encode
from shared.events import Trade
from tests import samples


def test_the_committed_schemas_are_what_the_events_say() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in schemas.FOLDER.glob("*.json")}
    assert committed == schemas.generate(), "run `python -m shared.schemas`"


def test_a_schema_without_an_event_is_removed(tmp_path: Path) -> None:
    (tmp_path / "gone.json").write_text("{}", encoding="utf-8")
    schemas.write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(schemas.generate())


@pytest.mark.parametrize(
    "event",
    [
        samples.trade(1),
        samples.anomaly(),
        samples.tape_gap(),
        samples.quarantine(),
        samples.alert(),
        samples.dead_letter(),
    ],
)
def test_an_event_on_the_wire_is_valid_by_its_schema(event: msgspec.Struct) -> None:
    name = schemas._file_name(type(event))
    Draft202012Validator(json.loads(schemas.generate()[name])).validate(json.loads(encode(event)))


def test_a_schema_refuses_what_the_codec_refuses() -> None:
    bad = {**msgspec.to_builtins(samples.trade(1)), "price": 0}
    with pytest.raises(ValidationError, match="0"):
        Draft202012Validator(json.loads(schemas.generate()["trade.json"])).validate(bad)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(bad, Trade)
