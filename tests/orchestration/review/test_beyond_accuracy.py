"""What lists are like and what re-ranking costs: from the configuration to card, MLflow and lists."""

from dataclasses import replace

import numpy as np
import pytest
from registry_case import evidence, lists

from ml.metrics.beyond import MEANING, beyond
from ml.metrics.item_facts import ItemFacts
from ml.metrics.price import price
from ml.metrics.report import PriceRow
from orchestration.config import ConfigError, Home, parse_config
from orchestration.partitions import CONFIG
from orchestration.resources.evidence import figures
from orchestration.review.beyond_tables import beyond_rows, price_line, price_rows
from orchestration.review.card import html, known_limits, markdown
from orchestration.review.cohort_tables import CANDIDATES, COHORTS

FACTS = ItemFacts(np.arange(30), 60, np.eye(30, dtype=np.float32))
LOST = PriceRow("cold", "bridge", "recall", 0.06, -0.002, -0.003, -0.001, 900)


@pytest.fixture
def case(tmp_path):
    made = evidence(Home(tmp_path), "books")
    plain = lists()
    report = replace(made.report, beyond=beyond(plain, FACTS, 10), price=price(plain, plain, FACTS, 10))
    card = replace(made.card, beyond=report.beyond, price=report.price, re_ranking="diversity 0.3")
    return replace(made, report=report, card=card)


def test_the_table_has_a_line_for_each_cohort_and_candidate(case):
    header, body = beyond_rows(case.report.beyond, COHORTS, CANDIDATES)
    assert header == ["cohort", "candidate", *("coverage", "novelty", "diversity", "popularity", "gini")]
    assert [row[:2] for row in body] == [[cohort, name] for cohort in ("cold", "all") for name in CANDIDATES]
    # Every list of every user is the same ten of thirty items, no two alike.
    assert [body[0][2], body[0][4]] == ["33.3%", "1.000"]


def test_both_forms_of_the_card_explain_every_figure(case):
    for text in (markdown(case.card), html(case.card)):
        assert "Beyond accuracy at 10" in text
        assert "What users see of the bridge at 10" in text
        assert "diversity 0.3" in text
        assert all(f"{metric}: {words[:20]}" in text for metric, words in MEANING.items())


def test_a_card_without_either_has_neither_section(case):
    text = markdown(replace(case.card, beyond=(), price=()))
    assert "Beyond accuracy" not in text
    assert "What users see" not in text


def test_mlflow_gets_the_candidate_s_own_figures(case):
    found = figures(case.report, 10, "bridge")
    assert found["coverage_at_10_cold"] == pytest.approx(1 / 3)
    assert found["diversity_at_10_all"] == pytest.approx(1)
    assert found["rerank_recall_at_10_cold"] == 0
    assert "rerank_coverage_at_10_cold_ci_low" not in found  # no user has a coverage of their own
    assert not any(name.startswith(("coverage", "rerank")) for name in figures(case.report, 10))


def test_a_certain_loss_is_a_known_limit(case):
    assert price_line([LOST], "bridge") == "Re-ranking certainly costs recall: cold -.0020 of .0600."
    assert price_line([LOST], "twin") is None
    assert price_line([replace(LOST, high=0.001)], "bridge") is None
    assert price_line([LOST], "bridge") in known_limits(replace(case.card, price=[LOST]))


def test_a_price_shows_the_figure_its_change_and_how_sure_that_is():
    cell = price_rows([LOST], COHORTS, "bridge")[1][0]
    assert cell == ["cold", ".0600\u00a0-.0020 [-.0030,\u00a0-.0010]", *["–"] * 5]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("diversity", 1, "less than 1"),
        ("diversity", "much", "valid number"),
        ("popularity_penalty", -0.1, "greater than or equal to 0"),
        ("depth", 0, "greater than or equal to 1"),
        ("depht", 50, "unknown key"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_its_key(key, value, said, tmp_path):
    document = CONFIG.model_dump(mode="json", include={"calendar", "domains"}, exclude_unset=True)
    with pytest.raises(ConfigError) as caught:
        parse_config({**document, "recommendations": {key: value}}, tmp_path / "own.yaml")
    (fault,) = caught.value.faults
    assert fault.startswith(f"recommendations.{key}: ")
    assert said in fault
