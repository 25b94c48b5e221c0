"""What is served: lists, reasons, explanations and the folder they come from."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from bridge_world import AS_OF, DAY, SIZES, log_of, recommender_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.bridge.select.blend import Blend
from ml.bridge.serve.recommender import NO_HISTORY, UNKNOWN, Recommender, load
from ml.data import Catalogue, Snapshot
from ml.metrics.cohorts import user_cohort

KINDS = {"popularity": "popularity", "union_als": "union_als", "all_to_items": "ridge", "next_items": "ridge"}
BLENDS = {
    "cold": Blend({"all_to_items": 0.6, "union_als": 0.4}),
    "sparse": Blend({"popularity": 0.2, "all_to_items": 0.8}),
    "warm": Blend({"next_items": 0.5, "union_als": 0.5}),
}
SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("score", pa.float32()),
        ("rank", pa.int32()),
        ("reason", pa.string()),
    ]
)
SILENT_USER = "u0119"


@pytest.fixture(scope="module")
def model(world, task):
    return recommender_of(world, task, KINDS, BLENDS, candidate="bridge")


def user_of_cohort(task, cohort, source=None):
    """The first user of a cohort, with history in `source`."""
    mine = user_cohort(task.interactions["books"].counts()) == cohort
    if source:
        mine &= task.interactions[source].counts() > 0
    return f"u{np.flatnonzero(mine)[0]:04d}"


def test_columns_types_and_order_of_users(model, world):
    users = [world.users[i] for i in (30, 2, 77, 2, 119)]
    table = model.recommend(users, k=4)
    assert table.schema == SCHEMA
    assert table["user_id"].to_pylist() == [u for u in users for _ in range(4)]
    assert table["rank"].to_pylist() == [1, 2, 3, 4] * 5
    assert set(table["item_id"].to_pylist()) <= set(world.catalogues["books"].item_ids.tolist())


def test_a_user_asked_twice_gets_the_same_list_twice(model):
    table = model.recommend(["u0002", "u0030", "u0002"], k=5)
    first, again = table.slice(0, 5), table.slice(10, 5)
    assert first.drop(["score"]).equals(again.drop(["score"]))
    # A batched product may round the same row in two places differently.
    np.testing.assert_allclose(first["score"].to_numpy(), again["score"].to_numpy(), rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), k=st.integers(1, 60), exclude=st.booleans())
def test_lists_are_full_unique_ordered_and_free_of_seen_items(model, world, data, k, exclude):
    users = data.draw(
        st.lists(st.sampled_from([*world.users.tolist(), "nobody", "u00", "zz"]), min_size=1, max_size=6)
    )
    table = model.recommend(users, k, exclude_seen=exclude)
    log, ids = world.interactions["books"], world.catalogues["books"].item_ids
    start = 0
    for user in users:
        had = set(ids[log.items[world.users[log.users] == user]].tolist()) if exclude else set()
        size = min(k, SIZES["books"] - len(had))
        mine = table.slice(start, size)
        start += size
        assert set(mine["user_id"].to_pylist()) == {user}
        items, scores = mine["item_id"].to_pylist(), mine["score"].to_pylist()
        assert len(set(items)) == size
        assert not set(items) & had
        assert scores == sorted(scores, reverse=True)
        assert mine["rank"].to_pylist() == list(range(1, size + 1))
    assert len(table) == start


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_list_does_not_depend_on_who_else_is_asked(model, world, data):
    users = data.draw(
        st.lists(st.sampled_from([*world.users[:40].tolist(), SILENT_USER, "nobody"]), min_size=2, max_size=8)
    )
    together = model.recommend(users, 5)
    for position, user in enumerate(users):
        alone, mine = model.recommend([user], 5), together.slice(5 * position, 5)
        assert mine["reason"].to_pylist() == alone["reason"].to_pylist()
        assert np.allclose(mine["score"].to_numpy(), alone["score"].to_numpy(), atol=1e-4)


@pytest.mark.parametrize("user, reason", [("nobody", UNKNOWN), (SILENT_USER, NO_HISTORY)])
@pytest.mark.parametrize("explain", [False, True])
def test_users_of_whom_nothing_is_known_get_the_most_popular_items(model, world, user, reason, explain):
    log = world.interactions["books"]
    counts = np.bincount(log.items, minlength=SIZES["books"])
    best = world.catalogues["books"].item_ids[np.argsort(-counts, kind="stable")[:6]]
    table = model.recommend([user, "u0002"], 6, explain=explain).slice(0, 6)
    assert table["item_id"].to_pylist() == best.tolist()
    assert set(table["reason"].to_pylist()) == {reason}


def test_a_model_without_users_serves_popularity(model):
    empty = Recommender(
        "books",
        np.array([], dtype=str),
        model.item_ids,
        model.titles,
        {d: log_of([], 0, log.n_items) for d, log in model.logs.items()},
        model.members,
        BLENDS,
        {},
    )
    table = empty.recommend(["anyone"], 3)
    assert table["item_id"].to_pylist() == model.recommend(["nobody"], 3)["item_id"].to_pylist()
    assert set(table["reason"].to_pylist()) == {UNKNOWN}


def test_no_users_give_an_empty_table_with_the_columns(model):
    table = model.recommend([])
    assert len(table) == 0
    assert table.schema == SCHEMA


def test_batches_change_nothing(model, world, monkeypatch):
    users = [*world.users[:7].tolist(), "nobody", *world.users[7:12].tolist()]
    whole = model.recommend(users, 3)
    monkeypatch.setattr("ml.bridge.serve.recommender.CHUNK_SCORES", 2 * SIZES["books"])
    parts = model.recommend(users, 3).combine_chunks()
    assert parts.drop(["score"]).equals(whole.combine_chunks().drop(["score"]))
    assert np.allclose(parts["score"], whole["score"], atol=1e-5)


@pytest.mark.parametrize("cohort", ["cold", "sparse", "warm"])
def test_the_plain_reason_names_the_cohort_and_what_was_read(model, task, cohort):
    reason = model.recommend([user_of_cohort(task, cohort, "films")], 1)["reason"][0].as_py()
    assert reason.startswith(f"{cohort} user: from films, tools")
    assert reason.endswith("and books") == (cohort != "cold")


@pytest.mark.parametrize("cohort", ["cold", "sparse", "warm"])
def test_explained_reasons_name_items_of_the_history(model, task, world, cohort):
    user = user_of_cohort(task, cohort, "films")
    row = np.searchsorted(world.users, user)
    history = []
    for domain, log in world.interactions.items():
        for item in log.items[log.users == row]:
            title = world.catalogues[domain].titles[item]
            name = f"“{title}”" if title else f"item {world.catalogues[domain].item_ids[item]}"
            history.append(f"{name} in {domain}")
    plain, explained = model.recommend([user], 8), model.recommend([user], 8, explain=True)
    assert explained.drop(["reason", "crossed"]).equals(plain.drop(["reason"]))
    named = 0
    for reason in explained["reason"].to_pylist():
        if reason == "popular here":
            continue
        for clause in reason.removeprefix("because of ").split("; "):
            item, share = clause.rsplit(": ", 1)
            assert item in history
            assert 0 <= int(share.removesuffix("%")) <= 100
            named += 1
    assert named > 0


def test_an_explanation_sums_to_the_score(model, task, world):
    users = [
        user_of_cohort(task, "cold", "films"),
        user_of_cohort(task, "sparse"),
        user_of_cohort(task, "warm"),
    ]
    for user in [*users, SILENT_USER]:
        table = model.recommend([user], 5)
        parts = model.explain(user, table["item_id"].to_pylist())
        assert np.allclose(parts.total(), table["score"].to_numpy(), atol=1e-4)


def newer(world):
    """A day later: an item "books-004x" and a user "zz", who has it (weight 9) and books-010 (weight 3)."""
    log, old = world.interactions["books"], world.catalogues["books"]
    place = np.searchsorted(old.item_ids, "books-004x")
    books = Catalogue(
        *(np.insert(a.astype(object), place, "books-004x") for a in (old.item_ids, old.titles, old.titles))
    )
    rows = zip(log.users, log.times, log.items + (log.items >= place), log.weights, strict=True)
    last = len(world.users)
    rows = [*rows, (last, AS_OF, place, 9.0), (last, AS_OF + 1, 11, 3.0)]
    logs = {d: replace(other, n_users=last + 1) for d, other in world.interactions.items()}
    return Snapshot(
        np.append(world.users, "zz"),
        {**world.catalogues, "books": replace(books, item_ids=books.item_ids.astype(str))},
        {**logs, "books": log_of(rows, last + 1, len(old) + 1)},
        AS_OF + DAY,
    )


def test_a_model_at_its_own_snapshot_is_itself(model, world):
    users = [*world.users[:30].tolist(), "nobody"]
    assert model.at(world).recommend(users, 5).equals(model.recommend(users, 5))


def test_a_model_at_a_newer_snapshot_knows_new_users_and_only_its_own_items(model, world):
    moved = model.at(newer(world))
    log, before = moved.logs["books"], model.logs["books"]
    assert log.items[:-1].tolist() == before.items.tolist()
    assert log.users[:-1].tolist() == before.users.tolist()
    assert (log.users[-1], log.items[-1]) == (120, 10)  # the event on books-004x waits
    assert model.recommend(["zz"], 3)["reason"][0].as_py() == UNKNOWN
    table = moved.recommend(["zz"], 60)
    assert table["reason"][0].as_py().startswith("sparse user")
    assert set(table["item_id"].to_pylist()) == set(model.item_ids["books"]) - {"books-010"}
    assert len(model.user_ids) == 120


def test_errors_name_the_user_or_item(model):
    with pytest.raises(KeyError, match="nobody"):
        model.explain("nobody", ["books-001"])
    with pytest.raises(KeyError, match="zzz"):
        model.explain("zzz", ["books-001"])
    for item in ("films-001", "zebra", "books-0010"):
        with pytest.raises(KeyError, match=item):
            model.explain("u0002", ["books-001", item])


def test_a_loaded_model_gives_the_same_tables(model, world, tmp_path):
    model.save(tmp_path / "deep" / "model")
    again = load(tmp_path / "deep" / "model")
    users = [*world.users.tolist(), "nobody"]
    for explain in (False, True):
        assert again.recommend(users, 7, explain=explain).equals(model.recommend(users, 7, explain=explain))
    assert again.settings == {"candidate": "bridge"}
    assert (again.target, again.blends) == ("books", BLENDS)
    assert np.array_equal(again.user_ids, model.user_ids)
    for domain in SIZES:
        assert np.array_equal(again.item_ids[domain], model.item_ids[domain])


def test_the_folder_holds_no_pickle_and_nothing_beside_it(model, tmp_path):
    model.save(tmp_path / "model")
    names = {p.name for p in (tmp_path / "model").iterdir()}
    assert names == {
        "model.json",
        "weights.safetensors",
        "users.parquet",
        *(f"items-{d}.parquet" for d in SIZES),
    }
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    json.loads((tmp_path / "model" / "model.json").read_text())


def test_saving_over_a_model_replaces_it_whole(model, tmp_path):
    model.save(tmp_path / "model")
    (tmp_path / "model" / "items-old.parquet").touch()
    model.save(tmp_path / "model")
    assert not (tmp_path / "model" / "items-old.parquet").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert len(load(tmp_path / "model").recommend(["u0002"], 3)) == 3


def test_a_save_that_fails_leaves_the_former_model(model, tmp_path):
    model.save(tmp_path / "model")
    broken = Recommender(
        model.target, model.user_ids, model.item_ids, {}, model.logs, model.members, BLENDS, {"of": object()}
    )
    with pytest.raises(TypeError):
        broken.save(tmp_path / "model")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert load(tmp_path / "model").settings == {"candidate": "bridge"}


def test_a_missing_folder_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no Landbridge model"):
        load(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["weights.safetensors", "users.parquet", "items-films.parquet"])
def test_a_torn_folder_names_the_missing_file(model, tmp_path, name):
    model.save(tmp_path / "model")
    (tmp_path / "model" / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}.*save it again"):
        load(tmp_path / "model")


def test_a_folder_of_another_format_is_refused(model, tmp_path):
    model.save(tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(ValueError, match=r"format 99.*train it again"):
        load(tmp_path / "model")


def test_a_model_moves_with_its_folder(model, tmp_path):
    model.save(tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    table = load(tmp_path / "there").recommend(["u0002"], 3)
    assert pc.all(pc.is_finite(table["score"])).as_py()
