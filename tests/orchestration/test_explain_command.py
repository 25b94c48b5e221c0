"""`landbridge explain` and the card's pages on reasons: what is printed adds up; faults say what to do."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import yaml
from click import ClickException
from click.testing import CliRunner
from registry_case import evidence
from rich.console import Console

from ml.bridge.contract import Task
from ml.bridge.protocol import scaled
from ml.bridge.scorers.popularity import Popularity
from ml.bridge.scorers.union import UnionALS
from ml.bridge.select.blend import Blend
from ml.bridge.serve.crossing import Crossing
from ml.bridge.serve.recommender import Member, Recommender
from ml.data import Catalogue, Interactions
from ml.metrics.cohorts import USER_COHORTS
from orchestration.cli import main
from orchestration.commands.explain import block_table, explained, past_table
from orchestration.config import Home, load_config
from orchestration.domain_config import Domain
from orchestration.event_verbs import _verb, event_verbs
from orchestration.review.explanations import crossing_table, explained_sections

ROOT = Path(__file__).parents[2]
USERS, ITEMS = 24, 12
SETTINGS = {"train_settings": {"verbs": {"films": "watched"}}}


@pytest.fixture(scope="module")
def model() -> Recommender:
    """books and films of two tastes; u23 is known in films alone. Item 0 of each has no title."""
    random, logs, catalogues = np.random.default_rng(0), {}, {}
    for domain in ("films", "books"):
        rows = [
            (user, int(item))
            for user in range(USERS)
            for item in random.choice(np.arange(user % 2, ITEMS, 2), 4, replace=False)
            if domain == "films" or user < USERS - 1
        ]
        users, items = (np.array(column, np.int32) for column in zip(*rows, strict=True))
        times = np.tile(np.arange(4), USERS)[: len(rows)]
        logs[domain] = Interactions(users, items, np.ones(len(rows), np.float32), times, USERS, ITEMS)
        titles = np.array([None, *(f"{domain} [b]{i}[/b]" for i in range(1, ITEMS))], dtype=object)
        catalogues[domain] = Catalogue(np.array([f"{domain}-{i:02d}" for i in range(ITEMS)]), titles, titles)
    task = Task("books", ("films",), scaled(logs), catalogues, device="cpu")
    return Recommender(
        "books",
        np.array([f"u{i:02d}" for i in range(USERS)]),
        {d: catalogues[d].item_ids for d in task.domains},
        {d: catalogues[d].titles for d in task.domains},
        task.interactions,
        {
            "popularity": Member("popularity", Popularity().fit(task)),
            "union_als:f4": Member("union_als", UnionALS(4, 5.0, 1.0).fit(task)),
        },
        dict.fromkeys(USER_COHORTS, Blend({"popularity": 0.3, "union_als:f4": 0.7})),
        SETTINGS,
    )


def figures(table) -> list[float]:
    return [float(cell) for cell in table.columns[2].cells]


@pytest.mark.parametrize("user", ["u00", "u23"])
@pytest.mark.parametrize("top", [3, 50])
def test_the_rows_add_up_to_the_score_of_the_list(model, user, top):
    row = model.recommend([user], 5).to_pylist()[1]
    found = explained(model, user, row["item_id"], 5)
    assert found.place == "rank 2 of 5"
    *summands, score = figures(past_table(found, model, top))
    assert score == pytest.approx(row["score"], abs=1e-4)
    assert sum(summands) == pytest.approx(score, abs=1e-3)
    constant = float(found.parts.constant[0])
    assert sum(figures(block_table(found))) + constant == pytest.approx(score, abs=1e-3)


def test_without_an_item_the_first_of_the_list_is_explained(model):
    row = model.recommend(["u23"], 5, explain=True).to_pylist()[0]
    found = explained(model, "u23", None, 5)
    assert (found.item, found.reason) == (row["item_id"], row["reason"])
    assert found.crossed == pytest.approx(row["crossed"])
    assert found.crossed > 0.3
    assert found.reason.startswith("because you watched ")


def test_an_item_that_the_user_has_is_explained_and_its_place_says_so(model):
    had = model.item_ids["books"][model.logs["books"].items[0]]
    assert "not on the list of 5" in explained(model, "u00", had, 5).place


def test_titles_are_printed_as_they_are(model):
    console = Console(width=200, file=StringIO())
    console.print(past_table(explained(model, "u00", None, 5), model, 50))
    assert "[b]" in console.file.getvalue()


def test_faults_say_what_to_do(model):
    with pytest.raises(ClickException, match=r"does not know user 'nobody'.*as-of"):
        explained(model, "nobody", None, 5)
    for item in ("films-01", "zzz", ""):
        with pytest.raises(
            ClickException, match=rf"item '{item}' is not in the catalogue of books.*recommend"
        ):
            explained(model, "u00", item, 5)


def test_the_card_shows_shares_and_a_list_of_each_cohort(model):
    crossed, *lists = explained_sections(model, 5, 0)
    assert crossed.table.header == ["cohort", "users", "films", "books (own)", "the same for all", "crossed"]
    cold, sparse = crossed.table.rows
    assert [cold[0], cold[1], cold[3]] == ["cold", "20", "0%"]
    assert sparse[0] == "sparse"  # nobody has five books
    assert [len(page.table.rows) for page in lists] == [5, 5]
    assert all(row[2].startswith("because ") for row in lists[0].table.rows)


def test_the_shares_of_a_row_by_hand():
    found = [
        Crossing("cold", 9, {"films": 0.5, "tools": 0.25, "books": 0.0}),
        Crossing("warm", 1, {"books": 1.0}),
    ]
    table = crossing_table(found, "books")
    assert table.header[2:4] == ["films", "tools"]
    assert table.rows == [
        ["cold", "9", "50%", "25%", "0%", "25%", "75%"],
        ["warm", "1", "0%", "0%", "100%", "0%", "0%"],
    ]


def domain(**changed) -> Domain:
    events = {"path": "e.csv", "format": "csv", "columns": {"user": "u", "item": "i", "time": "t"}}
    items = {"path": "i.csv", "format": "csv", "columns": {"item": "i", "text": ["t"]}}
    columns = {**events["columns"], **changed.pop("columns", {})}
    return Domain.model_validate(
        {"events": {**events, "columns": columns, **changed.pop("events", {})}, "items": items, **changed}
    )


@pytest.mark.parametrize(
    ("settings", "verb"),
    [
        ({}, "bought"),
        ({"events": {"default_event": "Review"}}, "reviewed"),
        ({"events": {"default_event": "poke"}}, None),
        ({"columns": {"event": "e"}}, None),
        ({"columns": {"event": "e"}, "event_weights": {"like": 2, "dislike": -1}}, "liked"),
        ({"columns": {"event": "e"}, "event_weights": {"purchase": 4, "view": 1}}, None),
        ({"columns": {"event": "e"}, "event_weights": {"click": 4, "view": 1}}, "looked at"),
    ],
)
def test_a_verb_is_said_where_every_event_means_it(settings, verb):
    assert _verb(domain(**settings)) == verb


def test_the_examples_have_their_verbs():
    assert event_verbs(load_config(ROOT / "examples" / "food_kitchen.yaml")) == {
        "food": "reviewed",
        "kitchen": "reviewed",
    }
    assert event_verbs(load_config(ROOT / "landbridge.yaml")) == {}


@pytest.mark.slow
def test_the_command_explains_the_champion(tmp_path, monkeypatch):
    for name in ("LANDBRIDGE_CONFIG", "DAGSTER_HOME", "HF_HUB_OFFLINE", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path / "home"))
    (tmp_path / "events.csv").write_text("u,i,t\nu1,i1,2024-01-01\n")
    (tmp_path / "items.csv").write_text("i,t\ni1,a kettle\n")
    one = domain().model_dump(exclude_unset=True)
    document = {
        "calendar": {"grain": "month", "start": "2024-01-01", "end": "2024-03-01"},
        "domains": {"shop": one},
    }
    for kind, path in (("events", "events.csv"), ("items", "items.csv")):
        one[kind]["path"] = path
    config = tmp_path / "shop.yaml"
    config.write_text(yaml.safe_dump(document))

    def landbridge(*arguments):
        return CliRunner().invoke(main, ["explain", "--config", str(config), *arguments])

    unknown = landbridge("--target", "music", "--user", "u01")
    assert (unknown.exit_code, "shop" in unknown.output) == (1, True)
    early = landbridge("--target", "shop", "--user", "u01")
    assert (early.exit_code, "landbridge run" in early.output) == (1, True)

    from orchestration.resources.registry import Registry

    registry = Registry(Home())
    registry.promote(registry.register(evidence(registry.home, "shop")), "shop", "auto")
    done = landbridge("--target", "shop", "--user", "u01")
    assert done.exit_code == 0, done.output
    assert "from the shop champion (bridge, version 1)" in done.output
    assert "popular here" in done.output
    assert "the same for every user" in done.output
    nobody = landbridge("--target", "shop", "--user", "u99")
    assert (nobody.exit_code, "does not know user 'u99'" in nobody.output) == (1, True)
