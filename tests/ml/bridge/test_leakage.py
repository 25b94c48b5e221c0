"""Nothing hidden is read: no leak in what is built, and every leak that is planted is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from bridge_world import AS_OF, DAY
from scipy import sparse

from ml.bridge.leakage import garbled, leaks, secrets
from ml.bridge.protocol import Protocol, scaled
from ml.bridge.protocols import HISTORY
from ml.bridge.train import TrainSettings, whole_protocol
from ml.data import Snapshot
from ml.demo.tiny_world import snapshot
from ml.reviews import Reviews
from ml.user_attributes import UserAttributes


@pytest.fixture(scope="module")
def told() -> Snapshot:
    """A world in which users write of the target, the target knows their region, and items are new."""
    world, random = snapshot(4, users=200), np.random.default_rng(4)
    log = world.interactions["books"]
    # Nobody touches the last items before the last horizon, nor those before them before the one before.
    first = np.where(log.items >= 37, AS_OF - 20 * DAY, np.where(log.items >= 34, AS_OF - 10 * DAY, 0))
    times = np.where(first > 0, first + log.times % (10 * DAY), log.times)
    log = replace(log, times=times).select(np.lexsort((log.items, times, log.users)))
    texts, names = 50, tuple(("region", f"r{i}") for i in range(30))
    reviews = Reviews(
        random.random(len(log)).astype(np.float32),
        random.integers(-1, texts, len(log)).astype(np.int32),
        np.array([f"h{i}" for i in range(texts)], object),
    )
    # Of thirty regions some are held by few users once the cold ones are gone.
    codes = random.integers(len(names), size=log.n_users)
    cells = (np.ones(log.n_users, np.float32), codes, np.arange(log.n_users + 1))
    known = UserAttributes(names, sparse.csr_matrix(cells, shape=(log.n_users, len(names))))
    return world.with_interactions(books=replace(log, reviews=reviews, attributes=known))


def protocol_of(world: Snapshot, history: str = "time", kind: type[Protocol] = Protocol) -> Protocol:
    return kind(world, "books", ("films", "tools"), 0.2, 10 * DAY, 0, "cpu", history=history)


def words(protocol: Protocol) -> list[str]:
    return [str(leak) for leak in leaks(protocol)]


@pytest.mark.parametrize("history", HISTORY)
def test_nothing_leaks(told: Snapshot, history: str) -> None:
    protocol = protocol_of(told, history)
    assert words(protocol) == []
    for scenario in ("cold", "time", "cold_items"):  # and there was something to hide, and somebody to ask
        assert any(mask.any() for mask in secrets(protocol, scenario, "choose").values())
    assert len(protocol.time("choose").users) > 20
    assert len(protocol.cold_items("choose").users) > 0


@pytest.mark.parametrize("history", HISTORY)
def test_the_garbage_differs_in_everything_secret_and_in_nothing_else(told: Snapshot, history: str) -> None:
    protocol = protocol_of(told, history)
    for scenario in ("cold", "time"):
        secret = secrets(protocol, scenario, "measure")
        for domain, mask in secret.items():
            before = told.interactions[domain]
            after = garbled(protocol, secret, scenario).snapshot.interactions[domain]
            assert (np.diff(after.users) >= 0).all()
            assert not (set(before.weights[mask] * 17 + 3) ^ set(after.weights[after.weights > 16]))
            open_rows = set(zip(before.users[~mask], before.items[~mask], before.times[~mask], strict=True))
            assert open_rows <= set(zip(after.users, after.items, after.times, strict=True))
            assert after.times.max() < AS_OF


class Forgetful(Protocol):
    """While measuring, a cold user's history is not hidden."""

    def cold(self, stage):
        split = super().cold(stage)
        return replace(split, task=self.served()) if stage == "measure" else split


class OfEverything(Protocol):
    """Weights are scaled by the mean of all interactions, hidden ones too."""

    def _task(self, shown):
        task, whole = super()._task(shown), scaled(self.snapshot.interactions)
        scale = {d: whole[d].weights[0] / self.snapshot.interactions[d].weights[0] for d in task.interactions}
        found = {d: shown.get(d, self.snapshot.interactions[d]) for d in task.interactions}
        logs = {d: replace(log, weights=log.weights * scale[d]) for d, log in found.items()}
        return replace(task, interactions=logs)


class SameUsers(Protocol):
    """Choosing and measuring ask the same users."""

    def _asked(self, stage):
        return super()._asked("choose")


class OpenAttributes(Protocol):
    """Attributes are tested on what cold users took as well."""

    def unasked(self):
        return super().time("choose").task


class Popular(Protocol):
    """Lists of cold items hold only those that somebody takes later."""

    def cold_items(self, stage):
        split = super().cold_items(stage)
        later = np.bincount(split.truth.items, minlength=split.truth.n_items) > 0
        return replace(split, allowed=split.allowed & later)


class Lazy(Protocol):
    """The cut lies a day late."""

    def _cut(self, stage):
        _, truth, asked = super()._cut(stage)
        late = replace(self, horizon=self.horizon - DAY)
        return super(Lazy, late)._cut(stage)[0], truth, asked


@pytest.mark.parametrize(
    ("kind", "steps", "what"),
    [
        (
            Forgetful,
            {"cold, measure"},
            "hidden interactions of books are read, the first: user u",
        ),
        (OfEverything, {"cold, choose", "time, measure", "tests of attributes"}, "the weights read of books"),
        (SameUsers, {"users"}, "has a say in choosing and is measured"),
        (OpenAttributes, {"tests of attributes"}, "hidden interactions of books are read"),
        (Popular, {"cold_items, choose", "cold_items, measure"}, "which items may be listed"),
        (
            Lazy,
            {"time, choose", "time, measure", "cold_items, measure"},
            "hidden interactions of films are read",
        ),
    ],
)
def test_a_planted_leak_is_named(told: Snapshot, kind: type[Protocol], steps: set[str], what: str) -> None:
    found = leaks(protocol_of(told, kind=kind))
    assert steps <= {leak.step for leak in found}
    for step in steps:
        assert any(what in leak.what for leak in found if leak.step == step)


def _all_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value of an attribute is there because hidden users hold it."""

    def of_users(self: UserAttributes, users: np.ndarray) -> UserAttributes:
        held = sparse.csr_matrix(sparse.diags_array(users.astype(np.float32)) @ self.held)
        held.eliminate_zeros()
        return UserAttributes(self.names, held)

    monkeypatch.setattr(UserAttributes, "of_users", of_users)


def _centred_tastes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reviews count by how much they are above the mean of all reviews."""

    def task(self: Protocol, shown: dict, task=Protocol._task):
        made, whole = task(self, shown), self.snapshot.interactions
        logs = {
            d: replace(
                log, reviews=replace(log.reviews, taste=log.reviews.taste - whole[d].reviews.taste.mean())
            )
            if log.reviews
            else log
            for d, log in made.interactions.items()
        }
        return replace(made, interactions=logs)

    monkeypatch.setattr(Protocol, "_task", task)


@pytest.mark.parametrize(
    ("plant", "part"), [(_all_values, "values of attributes"), (_centred_tastes, "tastes")]
)
def test_a_statistic_of_what_else_is_known_of_hidden_users_is_named(
    told: Snapshot, monkeypatch: pytest.MonkeyPatch, plant: Callable, part: str
) -> None:
    plant(monkeypatch)
    found = words(protocol_of(told))
    for stage in ("choose", "measure"):
        assert f"cold, {stage}: the {part} read of books depend on what is hidden" in found


def test_a_future_row_is_named(told: Snapshot) -> None:
    log = told.interactions["films"]
    times = log.times.copy()
    times[-1] = AS_OF
    (found,) = [
        leak
        for leak in leaks(protocol_of(told.with_interactions(films=replace(log, times=times))))
        if leak.step == "snapshot"
    ]
    user, item = told.users[log.users[-1]], told.catalogues["films"].item_ids[log.items[-1]]
    assert found.what == (
        f"1 interaction of films at or after as-of, the first: user {user}, item {item} of films at "
        "1970-03-02 00:00:00+00:00"
    )


@pytest.mark.parametrize("history", HISTORY)
def test_settings_reach_the_protocol(told: Snapshot, history: str) -> None:
    settings = TrainSettings(protocol=history, horizon=10 * DAY)
    found = whole_protocol(told, "books", ["films"], settings)
    assert found.rules == {
        "history": history,
        "cold_user_fraction": 0.2,
        "horizon": 10 * DAY,
        "seed": 0,
    }


def test_leave_one_out_asks_for_the_last_item_alone(told: Snapshot) -> None:
    log = told.interactions["books"]
    for stage, place in (("measure", 1), ("choose", 2)):
        split = protocol_of(told, "leave_one_out").time(stage)
        for user in split.users:
            mine = log.items[log.users == user].tolist()
            assert split.truth.items[split.truth.users == user].tolist() == [mine[-place]]
            shown = split.task.interactions["books"]
            assert shown.items[shown.users == user].tolist() == mine[:-place]


def test_another_history_is_refused(told: Snapshot) -> None:
    with pytest.raises(ValueError, match="expected one of time, last_fraction, leave_one_out"):
        protocol_of(told, "latest")


def test_a_world_without_a_source_or_a_target_history_has_no_leak(told: Snapshot) -> None:
    empty = told.with_interactions(books=told.interactions["books"].before(-1))
    assert words(replace(protocol_of(empty), sources=())) == []
