"""Which fine-tuned encoder is in use: by gate, by date, and never one that has seen what is hidden now."""

from __future__ import annotations

import json
from datetime import date

import pytest

from orchestration.adapters import Adapters, visibility
from orchestration.config import Config, Home, as_of_time
from orchestration.features import text_encoder
from orchestration.language_config import Adaptation
from orchestration.partitions import CONFIG

KEYS = ("2026-01-01", "2026-02-01", "2026-03-01")


@pytest.fixture
def config() -> Config:
    return CONFIG.model_copy(
        update={"encoder": CONFIG.encoder.model_copy(update={"adaptation": Adaptation()})}
    )


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path)


def decide(config: Config, home: Home, key: str, **changes) -> None:
    day = date.fromisoformat(key)
    hidden = visibility(config, day)
    decision = {
        "passed": True,
        "base": text_encoder(config).key,
        "cut": as_of_time(day) - 2 * hidden.horizon,
        "hidden": {"seed": hidden.seed, "cold_user_fraction": hidden.cold_user_fraction},
        **changes,
    }
    folder = Adapters(config, home).folder(key)
    folder.mkdir(parents=True)
    (folder / "decision.json").write_text(json.dumps(decision))


def in_use(config: Config, home: Home, key: str | None = None) -> str | None:
    found = Adapters(config, home).in_use(key)
    return found and found.parent.name


def test_the_newest_that_passed_and_is_not_later(config, home):
    for key, passed in zip(KEYS, (True, True, False), strict=True):
        decide(config, home, key, passed=passed)
    assert in_use(config, home, "2025-12-31") is None
    assert in_use(config, home, "2026-01-31") == "2026-01-01"
    assert in_use(config, home, "2026-02-01") == "2026-02-01"
    assert in_use(config, home, "2026-03-01") == "2026-02-01"
    assert in_use(config, home) == "2026-02-01"


def test_without_the_setting_the_base_is_used(config, home):
    decide(config, home, KEYS[0])
    assert in_use(CONFIG, home) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"base": "another-model"},
        {"hidden": {"seed": 1, "cold_user_fraction": 0.2}},
        {"hidden": {"seed": 0, "cold_user_fraction": 0.1}},
        {"cut": as_of_time(date(2026, 2, 1))},
    ],
)
def test_one_that_saw_what_is_hidden_now_is_not_used(config, home, changes):
    decide(config, home, KEYS[0])
    decide(config, home, KEYS[1], **changes)
    assert in_use(config, home, KEYS[1]) == KEYS[0]


def test_a_fine_tuning_that_was_killed_counts_for_nothing(config, home):
    (Adapters(config, home).folder(KEYS[0]) / "adapter").mkdir(parents=True)
    assert in_use(config, home) is None
