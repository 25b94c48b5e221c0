"""What changed between two versions is named, what did not is not, and a version keeps the facts it had."""

import json
from dataclasses import replace

import pytest
from registry_case import evidence

from orchestration.config import Home
from orchestration.partitions import CONFIG
from orchestration.resources.registry import Registry
from orchestration.review.changes import (
    FACTS_FILE,
    DomainFacts,
    VersionFacts,
    blend_words,
    changes,
    configuration_of,
    facts_of,
)

BEFORE = VersionFacts(
    target="books",
    as_of="2026-03-01",
    served="twin",
    k=10,
    encoder="minilm-0",
    git_sha="a" * 40,
    sources=("films",),
    digests={"data": "1" * 64, "model": "2" * 64, "code": "3" * 64},
    domains={"books": DomainFacts(1000, 300, 100, 40, "2026-01-01", "2026-02-28")},
    configuration={"evaluation.k": "10", "blocks.text": "true"},
    recipe={"cold": {"popularity": 1.0}},
    recall={"cold": (0.1, 0.08, 0.12, 200)},
    name="version 3",
)
AFTER = replace(
    BEFORE,
    as_of="2026-03-15",
    served="bridge",
    digests={**BEFORE.digests, "data": "9" * 64},
    domains={
        "books": DomainFacts(1200, 310, 100, 40, "2026-01-01", "2026-03-14"),
        "films": DomainFacts(50, 20, 30, 0, "2026-03-01", "2026-03-14"),
    },
    configuration={"evaluation.k": "10", "blocks.reviews": "false"},
    recipe={"cold": {"popularity": 0.4, "ease:r500": 0.6}},
    recall={"cold": (0.2, 0.18, 0.22, 210)},
    name="version 4",
)


def by_title(before, after):
    return {section.title: section for section in changes(before, after)}


def test_only_what_changed_is_listed_and_the_rest_is_named_as_the_same():
    first = by_title(BEFORE, AFTER)["What changed from version 3 to version 4"]
    assert list(first.table.header) == ["", "version 3", "version 4"]
    assert first.table.rows == [
        ["as of", "2026-03-01", "2026-03-15"],
        ["served", "twin", "bridge"],
        ["snapshot", "1" * 12, "9" * 12],
    ]
    assert first.lines == ["the same in both: list length, sources, encoder, git, weights, code of ml/"]


def test_data_shows_the_new_count_and_by_how_much_it_grew():
    rows = by_title(BEFORE, AFTER)["Data that changed"].table.rows
    window = "2026-01-01 to 2026-02-28 → 2026-01-01 to 2026-03-14"
    assert rows[0] == ["books", "1,200 (+200)", "310 (+10)", "100", "40", window]
    assert rows[1][:2] == ["films", "50 (+50)"]
    assert rows[1][-1] == "nothing → 2026-03-01 to 2026-03-14"


def test_a_key_that_came_or_went_is_a_change():
    section = by_title(BEFORE, AFTER)["Configuration: 2 keys differ"]
    assert section.table.rows == [["blocks.reviews", "–", "false"], ["blocks.text", "true", "–"]]


def test_recipe_and_figures_stand_side_by_side():
    found = by_title(BEFORE, AFTER)
    recipe = ["cold", "100% popularity", "60% ease:r500, 40% popularity"]
    assert found["Recipe of what is served"].table.rows == [recipe]
    figures = found["Recall@10 of what is served"]
    assert figures.table.rows == [
        ["cold", "0.1000 [0.0800, 0.1200], 200 users", "0.2000 [0.1800, 0.2200], 210 users"]
    ]
    assert "no lift" in figures.lines[0]


def test_sparse_users_without_a_blend_of_their_own_are_served_as_warm_ones():
    blends = {"warm": {"popularity": 1.0}, "sparse": {"ease:r500": 1.0}}
    before = replace(BEFORE, recipe=blends)
    after = replace(AFTER, recipe={"warm": {"popularity": 1.0}})
    assert by_title(before, after)["Recipe of what is served"].table.rows == [
        ["sparse", "100% ease:r500", "as warm"]
    ]
    assert "Recipe of what is served" not in by_title(after, replace(after, name="version 5"))


def test_what_neither_version_knows_of_itself_is_not_called_the_same():
    before, after = (replace(facts, git_sha="unknown", digests={}) for facts in (BEFORE, AFTER))
    first = changes(before, after)[0]
    assert first.lines == [
        "the same in both: list length, sources, encoder",
        "not known of either: git, snapshot, weights, code of ml/",
    ]
    known = changes(before, replace(after, git_sha="b" * 40))[0]
    assert ["git", "unknown", "b" * 12] in known.table.rows


def test_two_versions_of_the_same_facts_differ_in_nothing():
    first, *others = changes(BEFORE, replace(BEFORE, name="version 4"))
    assert first.table is None
    assert "as of" in first.lines[0]
    assert "configuration, recipe" in first.lines[0]
    assert [section.title for section in others] == ["Recall@10 of what is served"]


def test_equal_weights_are_named_in_one_order():
    assert blend_words({"b": 0.5, "a": 0.5}) == blend_words({"a": 0.5, "b": 0.5}) == "50% a, 50% b"


def test_facts_are_the_same_after_a_round_through_json():
    again = VersionFacts.from_json(AFTER.to_json(), "version 4")
    assert changes(AFTER, again)[0].table is None
    assert "version 4" not in AFTER.to_json()
    newer = json.dumps({**json.loads(AFTER.to_json()), "of_a_later_release": 1})
    assert VersionFacts.from_json(newer).as_of == AFTER.as_of


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"target": 1}', '{"domains": {"a": {"users": 1}}}'])
def test_a_file_that_holds_something_else_is_one_sentence(text):
    with pytest.raises(ValueError, match=r"facts\.json.*register it again"):
        VersionFacts.from_json(text)


def test_the_configuration_has_no_secret_and_nothing_that_no_model_follows_from():
    found = configuration_of(CONFIG)
    assert found["evaluation.k"] == "10"
    assert not [key for key in found if key.startswith(("promotion", "demo", "path", "generator.endpoint"))]


@pytest.mark.slow
def test_a_version_keeps_its_facts_when_newer_evidence_replaces_its_parent_run(tmp_path):
    registry = Registry(Home(tmp_path))
    first = registry.register(evidence(registry.home, "books", gain=3))
    made = evidence(registry.home, "books", gain=4)
    second = registry.register(made)
    old, new = facts_of(registry, first), facts_of(registry, second)
    assert (old.name, new.name) == ("version 1", "version 2")
    assert new.digests["content"] == second.tags["content_digest"]
    assert old.digests["figures"] != new.digests["figures"]
    assert new.recall["cold"][0] == pytest.approx(0.6)
    assert new.configuration["evaluation.k"] == "10"
    (path,) = (tmp_path / "mlflow").glob(f"**/{second.run_id}/artifacts/{FACTS_FILE}")
    path.write_text("{}")
    with pytest.raises(ValueError, match="register it again"):
        facts_of(registry, second)
    path.unlink()
    assert facts_of(registry, second) is None
