"""The check of a domain's language: warns with advice, on the documents that are there."""

from __future__ import annotations

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chinese_world import catalogue

from orchestration.config import ConfigError, Home, parse_config
from orchestration.defs.language import language_matches
from orchestration.documents import documents_path
from orchestration.partitions import CONFIG

ENGLISH_DOMAIN, OTHER = CONFIG.domain_names[:2]
ENGLISH = ["Cast iron pan with a lid", "Green tea, 50 bags", "Steel kettle for the home", None]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))


def write(domain: str, texts: list[str | None]) -> None:
    path = documents_path(Home(), domain)
    path.parent.mkdir(exist_ok=True)
    column, ids = pa.array(texts, pa.string()), pa.array([str(i) for i in range(len(texts))])
    pq.write_table(pa.table({"item_id": ids, "title": column, "document": column, "text_hash": column}), path)


def checked() -> dg.AssetCheckResult:
    result = language_matches()
    assert isinstance(result, dg.AssetCheckResult)
    assert result.severity == dg.AssetCheckSeverity.WARN
    return result


def test_a_domain_in_another_language_is_named_with_what_to_do():
    write(ENGLISH_DOMAIN, ENGLISH * 20)
    assert checked().passed
    write(OTHER, [item.title for item in catalogue()])
    found = checked()
    assert not found.passed
    assert found.description.startswith(f"{OTHER}: 100% of the sampled texts read as zh")
    assert f"domains.{OTHER}.language says en. Set it to zh" in found.description
    assert found.metadata[f"languages/{OTHER}"].value == "zh 100% (240 texts)"
    assert found.metadata[f"languages/{ENGLISH_DOMAIN}"].value == "en 100% (60 texts)"


@pytest.mark.parametrize("texts", [[], [None], ["铸铁煎锅"] * 5, ["NIKE", "8 x 12"]])
def test_no_text_or_little_warns_of_nothing(texts):
    write(OTHER, texts)
    assert checked().passed


def test_before_any_texts_there_is_nothing_to_judge():
    assert checked().passed
    assert checked().metadata == {}


@pytest.mark.parametrize(
    "language, accepted", [("zh-Hant", True), ("EN", True), ("english", False), ("", False)]
)
def test_a_language_is_configured_by_its_code(tmp_path, language, accepted):
    files = {"path": "x.csv", "format": "csv"}
    domain = {
        "language": language,
        "events": {**files, "columns": {"user": "u", "item": "i", "time": "t"}},
        "items": {**files, "columns": {"item": "i"}},
    }
    document = {"calendar": {"start": "2026-01-01"}, "domains": {"shop": domain}}
    if accepted:
        assert parse_config(document, tmp_path / "c.yaml").domains["shop"].language == language
    else:
        with pytest.raises(ConfigError, match=r"domains\.shop\.language: expected a language code"):
            parse_config(document, tmp_path / "c.yaml")
