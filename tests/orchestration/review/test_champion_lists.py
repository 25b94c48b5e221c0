"""Today's champion beside a training: who is compared, who is not and why, and when that is out of date."""

import json

import pyarrow.parquet as pq
import pytest
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag
from registry_case import lists

from orchestration.defs.evaluate import with_champion
from orchestration.review.champion import FOLDER, LISTS_FILE, NOBODY, Compared, against, compare

COLD = {"bridge": {"item_bridge:r10-t1": 1.0}, "twin": {"popularity": 1.0}}
RECIPE = {"sources": ["films"], "train_settings": {"k": 10}, "cohorts": {"cold": COLD}}


def champion(number=3, as_of="2026-03-01", digest="d" * 64):
    tags = {"as_of": as_of, "served": "bridge", "content_digest": digest}
    kept = [ModelVersionTag(key, value) for key, value in tags.items()]
    return ModelVersion("landbridge-books", str(number), 0, tags=kept)


@pytest.fixture
def training(tmp_path):
    """The folder of a training with the same recipe."""
    facts = {**RECIPE, "target": "books", "data_digest": "s" * 64}
    (tmp_path / "selection.json").write_text(json.dumps(facts))
    pq.write_table(lists(), tmp_path / LISTS_FILE)
    return tmp_path


def compared(training, version, as_of="2026-03-08", recipe=RECIPE):
    """What the champion's lists are, left where `evaluation` looks for them."""
    found, facts = compare(version, training, as_of, lambda: recipe)
    folder = training / FOLDER
    folder.mkdir()
    if found is not None:
        pq.write_table(found, folder / LISTS_FILE)
    facts.write(folder)
    return found, facts


def test_the_lists_of_the_champion_join_those_of_the_candidates(training):
    found, facts = compared(training, champion())
    assert facts.state == "compared"
    assert (
        facts.words
        == "The champion is version 3, as of 2026-03-01: its recipe is that of this version's bridge."
    )
    joined, said = with_champion(lists(), training / FOLDER)
    assert said == facts
    assert len(joined) == len(lists()) + len(found)
    assert set(joined["candidate"].to_pylist()) == {"bridge", "twin", "popularity", "champion"}


@pytest.mark.parametrize(
    "version, recipe, state, words",
    [
        (None, RECIPE, "none", NOBODY),
        (champion(as_of="2026-03-15"), RECIPE, "not_comparable", "was chosen on data after 2026-03-08"),
        (champion(), {"candidate": "bridge"}, "not_comparable", "did not keep its recipe"),
    ],
    ids=["nobody", "of a later day", "without a recipe"],
)
def test_who_cannot_be_compared_has_no_lists_and_a_reason(training, version, recipe, state, words):
    found, facts = compared(training, version, recipe=recipe)
    assert (found, facts.state) == (None, state)
    assert words in facts.words
    assert with_champion(lists(), training / FOLDER)[0].equals(lists())
    assert against(training / FOLDER, version).state == state


def test_a_champion_of_the_same_day_is_compared(training):
    assert compared(training, champion(as_of="2026-03-08"))[1].state == "compared"


def test_a_report_that_speaks_of_another_champion_is_out_of_date(training):
    compared(training, champion())
    for now in (champion(4), champion(digest="e" * 64), None):
        found = against(training / FOLDER, now)
        assert found.state == "changed"
        assert "materialise champion_lists, evaluation and model_version" in found.words
    assert against(training / FOLDER, champion()).state == "compared"


def test_a_report_without_a_word_of_a_champion_is_out_of_date_only_where_there_is_one(tmp_path):
    assert Compared.read(tmp_path) is None
    assert against(tmp_path, champion()).state == "changed"
    assert against(tmp_path, None).state == "none"
