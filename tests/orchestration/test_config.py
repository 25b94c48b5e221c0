"""The configuration: every fault is one readable line, and nothing but ConfigError ever leaves the parser."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestration.config import Config, ConfigError, expand_environment, load_config, parse_config

SHOP = {
    "events": {
        "path": "shop_events.csv",
        "format": "csv",
        "columns": {"user": "user_id", "item": "item_id", "time": "timestamp"},
        "time_unit": "s",
    },
    "items": {
        "path": "shop_items.jsonl",
        "format": "jsonl",
        "columns": {"item": "item_id", "text": ["title"]},
    },
    "event_weights": {"view": 1, "purchase": 4},
}
VALID = {
    "calendar": {"grain": "month", "start": "2024-01-01", "end": "2024-06-01"},
    "identity": "shared",
    "domains": {"books": SHOP, "films": {**SHOP, "bridges_from": ["books"]}},
    "evaluation": {"k": 10, "cold_user_fraction": 0.2, "horizon": 2, "seed": 0},
    "promotion": {"mode": "auto"},
}
FILE = Path("landbridge.yaml")


def changed(path: str, value: object) -> dict:
    """VALID with one key set; `...` removes it."""
    document = json.loads(json.dumps(VALID))  # two domains, not one object twice
    *parents, key = path.split(".")
    place = document
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[key]
    else:
        place[key] = value
    return document


def test_valid_document_parses():
    config = parse_config(VALID, FILE)
    assert config.domain_names == ["books", "films"]
    assert config.sources("books") == ["films"]
    assert config.sources("films") == ["books"]


@pytest.mark.parametrize(
    ("path", "value", "key", "says"),
    [
        ("calender", {}, "calender", "unknown key"),
        ("domains.books.events.colums", {}, "domains.books.events.colums", "unknown key"),
        ("calendar.start", ..., "calendar.start", "missing"),
        ("domains.films.items", ..., "domains.films.items", "missing"),
        ("domains.films.events.columns.user", ..., "domains.films.events.columns.user", "missing"),
        ("calendar.grain", "fortnight", "calendar.grain", "'day', 'week' or 'month'"),
        ("calendar.start", "soon", "calendar.start", "got 'soon'"),
        ("calendar.end", "2023-01-01", "calendar", "must lie after start"),
        ("calendar.start", "2024-01-15", "calendar", "first of a month"),
        ("evaluation.k", 0, "evaluation.k", "greater than or equal to 1"),
        ("evaluation.k", "ten", "evaluation.k", "valid integer"),
        ("evaluation.cold_user_fraction", 0.9, "evaluation.cold_user_fraction", "less than 0.5"),
        ("promotion.mode", "always", "promotion.mode", "'manual', 'auto' or 'off'"),
        ("domains.books.event_weights.view", "much", "domains.books.event_weights.view", "valid number"),
        ("cleaning", {"not_items": ["(?=POST)"]}, "cleaning.not_items.0", "not a regular expression (RE2)"),
        (
            "domains.books.events.encoding",
            "latin-99",
            "domains.books.events.encoding",
            "an encoding that Python knows",
        ),
        (
            "domains.books.events.format",
            "xlsx",
            "domains.books.events.format",
            "'csv', 'jsonl', 'parquet' or 'python'",
        ),
        ("domains.films.bridges_from", ["music"], "domains", "names 'music'"),
        ("domains.films.bridges_from", ["films"], "domains", "names 'films'"),
        ("domains.Big Shop", SHOP, "domains.Big Shop", "should match pattern"),
        ("domains", {}, "domains", "at least 1 item"),
        ("identity", "mixed", "identity", "got 'mixed'"),
        ("encoder", {"max_tokens": 4}, "encoder.max_tokens", "greater than or equal to 8"),
    ],
)
def test_fault_is_one_line_with_file_key_and_expectation(path, value, key, says):
    with pytest.raises(ConfigError) as caught:
        parse_config(changed(path, value), FILE)
    lines = [line for line in str(caught.value).splitlines() if f" {key}:" in line]
    assert lines, str(caught.value)
    assert any(says in line for line in lines)
    assert all(line.startswith("landbridge.yaml: ") for line in str(caught.value).splitlines())


def test_all_faults_are_listed_at_once():
    document = changed("evaluation.k", 0)
    document["calender"] = {}
    with pytest.raises(ConfigError) as caught:
        parse_config(document, FILE)
    assert len(caught.value.faults) == 2


def test_missing_environment_variable_is_named_with_its_key(monkeypatch):
    monkeypatch.delenv("NO_SUCH_FOLDER", raising=False)
    with pytest.raises(ConfigError) as caught:
        parse_config(changed("domains.books.events.path", "${NO_SUCH_FOLDER}/a.csv"), FILE)
    assert "domains.books.events.path" in str(caught.value)
    assert "NO_SUCH_FOLDER" in str(caught.value)
    assert len(caught.value.faults) == 1


def test_environment_and_defaults_expand(monkeypatch):
    monkeypatch.setenv("LAKE", "/lake")
    monkeypatch.delenv("POND", raising=False)
    assert expand_environment("${LAKE}/a-${POND:-b}.csv") == "/lake/a-b.csv"


def test_paths_are_relative_to_the_file(tmp_path):
    config = parse_config(VALID, tmp_path / "conf" / "landbridge.yaml")
    assert config.resolve("../data/a.csv") == tmp_path / "data" / "a.csv"
    assert config.resolve("/lake/a.csv") == Path("/lake/a.csv")


def test_missing_file_says_how_to_name_another(tmp_path):
    with pytest.raises(ConfigError, match="pass --config or set LANDBRIDGE_CONFIG"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "text", ["calendar: [", "a: b: c", "\tcalendar: 1", "calendar: {start: 2024-02-31}", "? [a]\n: b", "\x00"]
)
def test_text_that_is_not_yaml(tmp_path, text):
    path = tmp_path / "landbridge.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"landbridge\.yaml: .*YAML") as caught:
        load_config(path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["", "- a\n- b", "42", "hello"])
def test_yaml_that_is_no_mapping(tmp_path, text):
    path = tmp_path / "landbridge.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="expected a mapping"):
        load_config(path)


def test_bytes_that_are_not_text(tmp_path):
    path = tmp_path / "landbridge.yaml"
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(path)


def test_a_key_given_twice_is_a_fault(tmp_path):
    path = tmp_path / "landbridge.yaml"
    path.write_text(yaml.safe_dump(VALID) + "evaluation: {k: 5}\n")
    with pytest.raises(ConfigError, match="evaluation"):
        load_config(path)


def faults_of(document: object) -> list[str]:
    """The faults of a document, none where it parses; any other exception fails the test."""
    try:
        parse_config(document, FILE)
    except ConfigError as error:
        return error.faults or [""]
    return []


def _paths(document: object, prefix: tuple = ()) -> list[tuple]:
    if not isinstance(document, dict):
        return [prefix]
    return [prefix] * bool(prefix) + [p for k, v in document.items() for p in _paths(v, (*prefix, k))]


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
_anything = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_scalars, inner, max_size=3),
    max_leaves=6,
)


@given(path=st.sampled_from(_paths(VALID)), value=_anything, extra=st.none() | _scalars)
def test_any_mutation_parses_or_raises_config_error(path, value, extra):
    document = copy.deepcopy(VALID)
    place = document
    for parent in path[:-1]:
        place = place[parent]
    place[path[-1]] = value
    if extra is not None:
        place[extra] = value
    faults = faults_of(document)
    assert all(fault and "\n" not in fault for fault in faults)


@given(st.text(max_size=60))
def test_any_text_parses_or_raises_config_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("config") / "landbridge.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(ConfigError):
        load_config(path)


def test_every_key_is_documented():
    from pydantic import BaseModel

    text = (Path(__file__).parents[2] / "docs" / "CONFIGURATION.md").read_text()

    def keys(model: type[BaseModel]) -> set[str]:
        found = set()
        for name, field in model.model_fields.items():
            if field.exclude:
                continue
            found.add(name)
            for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
                if isinstance(part, type) and issubclass(part, BaseModel):
                    found |= keys(part)
        return found

    missing = {
        key
        for key in keys(Config) | keys(Config.model_fields["domains"].annotation.__args__[1])
        if f"`{key}`" not in text
    }
    assert not missing
