"""`.env.example` can be copied as it is, and leaves out no secret."""

import shutil
from pathlib import Path

from dotenv import dotenv_values

import config
from tests.unit.deploy.compose_file import ROOT

EXAMPLE = ROOT / ".env.example"


def test_every_name_is_a_setting_and_stands_there_once() -> None:
    lines = [
        line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if "=" in line and line[0] != "#"
    ]
    names = [line.partition("=")[0] for line in lines]
    assert {name.lower() for name in names} <= set(config.Settings.model_fields)
    assert len(names) == len(set(names))


def test_every_secret_is_listed_and_none_has_a_value() -> None:
    values = dotenv_values(EXAMPLE)
    secrets = {
        name.upper()
        for name, field in config.Settings.model_fields.items()
        if "SecretStr" in str(field.annotation)
    }
    assert secrets <= set(values)
    assert not any(values.values())


def test_a_copy_changes_nothing(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE, tmp_path / ".env")
    assert config.load(environ={}, folder=tmp_path) == config.Settings()
