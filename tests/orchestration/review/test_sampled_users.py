"""The users on a card are measured ones, shown with no more of their past than their lists knew."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from ml.bridge.contract import Task
from ml.bridge.lists import LISTS_SCHEMA
from ml.bridge.scorers.popularity import Popularity
from ml.bridge.select.candidates import Member
from ml.bridge.serve.recommender import Recommender
from ml.data import Catalogue, Interactions, Snapshot
from orchestration.pages import html_page
from orchestration.review.sampled_users import (
    HIT,
    Measured,
    Side,
    cut_of,
    new_item_sections,
    sampled_sections,
)

BOOKS = ["Ash", "Birch", "Cedar", "Dill"]
FILMS = ["Eel", "Finch"]


def log(rows, items):
    """Interactions of (user, item, time), sorted by user and time."""
    users, taken, times = (
        np.array(column) for column in zip(*sorted(rows, key=lambda r: r[::2]), strict=True)
    )
    ones = np.ones(len(rows), np.float32)
    return Interactions(
        users.astype(np.int32), taken.astype(np.int32), ones, times.astype(np.int64), 6, items
    )


def catalogue(domain, titles):
    ids = np.array([f"{domain}-{i}" for i in range(len(titles))])
    return Catalogue(ids, np.array(titles, dtype=object), np.array(titles, dtype=object))


SNAPSHOT = Snapshot(
    users=np.array([f"u{i}" for i in range(6)]),
    catalogues={"books": catalogue("b", [*BOOKS[:3], None]), "films": catalogue("f", FILMS)},
    interactions={
        # Before the cut (time 10) and after it, for every user.
        "books": log([(u, 0, 5) for u in range(6)] + [(u, 1, 15) for u in range(6)], 4),
        "films": log([(u, 0, 4) for u in range(6)] + [(u, 1, 12) for u in range(6)], 2),
    },
    as_of=20,
)


def row(scenario, cohort, candidate, user, items, relevant):
    values = (scenario, cohort, candidate, user, items, relevant)
    return dict(zip(LISTS_SCHEMA.names, values, strict=True))


LISTS = pa.Table.from_pylist(
    [
        row(scenario, cohort, name, f"u{user}", items, relevant)
        for scenario, cohort, users, relevant in (
            ("cold", "cold", range(6), [0, 1]),
            ("time", "sparse", (0,), [1]),
        )
        for user in users
        for name, items in (("bridge", [1, 3]), ("twin", [2]))
    ],
    schema=LISTS_SCHEMA,
)
MEASURED = Measured(SNAPSHOT, "books", ("films",), LISTS, cut=10)
BRIDGE, TWIN = Side("this version", "bridge", None), Side("twin", "twin", None)


def fitted(books):
    return Popularity().fit(Task("books", (), {"books": books}, SNAPSHOT.catalogues))


def popular():
    """A real model of books alone."""
    ids = {d: c.item_ids for d, c in SNAPSHOT.catalogues.items()}
    titles = {d: c.titles for d, c in SNAPSHOT.catalogues.items()}
    logs = {"books": SNAPSHOT.interactions["books"]}
    members = {"popularity": Member("popularity", fitted(logs["books"]))}
    return Recommender(
        "books", SNAPSHOT.users, {"books": ids["books"]}, {"books": titles["books"]}, logs, members, {}, {}
    )


def users(measured=MEASURED, mine=BRIDGE):
    (section,) = sampled_sections(measured, mine, TWIN)
    return section


def test_four_of_a_cohort_at_most_and_the_same_ones_for_the_same_seed():
    section = users()
    assert section.title == "5 sampled users"
    assert section.folded
    assert [part.title.split()[0] for part in section.parts] == ["Cold"] * 4 + ["Sparse"]
    assert users() == section
    drawn = {tuple(part.title for part in users(replace(MEASURED, seed=seed)).parts) for seed in range(5)}
    assert len(drawn) > 1


def test_the_first_line_says_how_far_the_lists_are_apart_and_that_these_are_examples():
    # Lists of 2 and of 1 that share nothing; item 1 is a hit of every user, of this version alone.
    assert users().lines[0] == (
        "of 2 items 2.0 differ on average; hits: this version 5, twin 0 "
        "(5 users: too few to compare, look at them as examples)"
    )
    same = Side("copy", "bridge", None)
    (section,) = sampled_sections(MEASURED, BRIDGE, same)
    assert section.lines[0].startswith("of 2 items 0.0 differ on average; hits: this version 5, copy 5 (")


def test_a_cold_user_s_target_history_is_hidden_and_the_source_is_whole():
    lines = users().parts[0].lines
    assert lines[:2] == ["books: hidden from the lists, all of it", "films: Finch · Eel"]
    assert lines[2] == "took afterwards in books: Ash · Birch"


def test_a_sparse_user_is_shown_as_of_the_cut_in_every_domain():
    sparse = users().parts[-1].lines
    assert sparse[:2] == ["books: Ash", "films: Eel"]
    whole_sources = users(replace(MEASURED, cut=None)).parts[-1].lines
    assert whole_sources[:2] == ["books: Ash", "films: Finch · Eel"]


def test_hits_are_marked_counted_and_said_without_colour():
    part = users().parts[-1]
    assert part.table.rows == [["1", f"{HIT}Birch", "–", "Cedar", "–"], ["2", "b-3", "–", "", ""]]
    assert part.lines[-1] == "hits of 1: this version 1, twin 0"
    assert f"<b>{HIT}Birch</b>" in html_page("t", "v", "bridge", [part])


def test_reasons_are_the_model_s_and_an_item_it_does_not_know_is_said():
    part = users(mine=Side("this version", "bridge", popular())).parts[-1]
    assert [cells[2] for cells in part.table.rows] == ["popular here", "popular here"]
    older = popular()
    kept = older.logs["books"]
    first = replace(
        older,
        item_ids={"books": older.item_ids["books"][:3]},
        titles={"books": older.titles["books"][:3]},
        logs={"books": replace(kept, n_items=3)},
        members={"popularity": Member("popularity", fitted(replace(kept, n_items=3)))},
    )
    part = users(mine=Side("this version", "bridge", first)).parts[-1]
    assert [cells[2] for cells in part.table.rows] == ["popular here", "an item it does not know"]


def test_nobody_measured_is_no_section():
    assert sampled_sections(replace(MEASURED, lists=LISTS.slice(0, 0)), BRIDGE, TWIN) == []
    assert new_item_sections(MEASURED, BRIDGE) == []


def test_new_items_are_shown_with_whom_they_were_listed_to():
    lists = pa.Table.from_pylist(
        [row("cold_items", "cold_items", "bridge", "u2", [1, 2, 0, 3], [1])], schema=LISTS_SCHEMA
    )
    (section,) = new_item_sections(replace(MEASURED, lists=lists), BRIDGE)
    assert section.table.rows == [["u2", f"{HIT}Birch · Cedar · Ash", "Birch", "books: Ash; films: Eel"]]


@pytest.mark.parametrize(("history", "cut"), [("time", 6), ("leave_one_out", None), (None, 6)])
def test_the_cut_follows_how_users_with_a_history_were_asked(history, cut):
    settings = {"horizon": 14, **({"history": history} if history else {})}
    assert cut_of({"as_of": 20, "train_settings": settings}) == cut
