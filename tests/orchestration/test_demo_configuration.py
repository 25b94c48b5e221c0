"""The default landbridge.yaml fits the demo world: every file it names is there, with those columns."""

import csv
import gzip
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ml.demo import write_demo_world
from orchestration.config import DEFAULT_CONFIG, Config, load_config


@pytest.fixture
def config(tmp_path, monkeypatch) -> Config:
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))
    config = load_config(DEFAULT_CONFIG)
    assert config.demo
    write_demo_world(config.resolve(config.demo.path), "tiny", config.demo.seed)
    return config


def columns_of(path: Path, format: str) -> set[str]:
    if format == "parquet":
        return set(pq.read_schema(path).names)
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    if format == "jsonl":
        return set(json.loads(text.splitlines()[0]))
    return set(next(csv.reader(text.splitlines())))


def test_every_file_is_there_with_its_columns(config):
    assert config.domain_names == ["books", "films", "garden", "music"]
    for domain in config.domains.values():
        assert domain.users
        for files in (domain.events, domain.items, domain.users):
            pattern = config.resolve(files.path.replace("{date}", "*"))
            found = sorted(pattern.parent.glob(pattern.name))
            assert found, files.path
            named = [name for value in files.columns.model_dump().values() for name in _names(value)]
            for path in found:
                assert set(named) <= columns_of(path, files.format), path


def _names(value: str | list[str] | None) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else value


def test_the_calendar_is_the_worlds(config):
    events = config.resolve(config.domains["films"].events.path).parent
    days = sorted(path.name.removesuffix(".csv.gz") for path in events.iterdir())
    assert days[0] == str(config.calendar.start)
    assert days[-1] < str(config.calendar.end)
    assert len(days) == 90


@pytest.mark.parametrize("size", ["tiny", "small", 10, 250_000])
def test_demo_sizes(size):
    demo = load_config(DEFAULT_CONFIG).demo
    assert demo
    assert type(demo).model_validate({"size": size, "seed": 0}).size == size


@pytest.mark.parametrize("size", ["big", 9, True])
def test_an_unknown_demo_size_is_a_fault(size):
    demo = load_config(DEFAULT_CONFIG).demo
    with pytest.raises(ValueError, match="tiny, small or a number of users"):
        type(demo).model_validate({"size": size})
