"""Mappers: their errors by hand, alignment that helps, maps of a user's own, settings that mean nothing."""

import json
import math
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from bridge_world import ALS, QUICK, SCORERS, snapshot, task_of
from scipy import sparse

from ml.bridge.blocks.profiles import ALSUserFactors
from ml.bridge.histories import histories
from ml.bridge.scorers.mapper import Mapper
from ml.bridge.scorers.mapper_fit import MapTraining, Pairs, TargetSpace, factor_error, interaction_error
from ml.bridge.scorers.meta_mapper import MOST_LOGIT, MetaMapper, SourceMap
from ml.bridge.scorers.networks import Linear
from ml.bridge.select.candidates import fitted, kind_of, make, scenario_candidates
from ml.factorize.als import WeightedALS

MAPPERS = ("linear_mapper", "mlp_mapper", "meta_mapper")


@pytest.fixture(scope="module")
def pairs_and_space(task):
    space = TargetSpace.of(task, ALS)
    users = np.flatnonzero(task.interactions["films"].counts() > 0)
    return Pairs.of(users, space, task.interactions["books"]), space, users


def test_the_target_space_is_the_factorisation_in_units_of_its_users(task, pairs_and_space):
    _, space, _ = pairs_and_space
    matrix = task.interactions["books"].matrix()[space.users]
    plain = WeightedALS(**ALS, seed=0, device="cpu").fit(matrix)
    assert space.vectors.square().sum(dim=1).mean().item() == pytest.approx(1, abs=1e-5)
    scores = space.vectors.numpy() @ space.items.T
    assert scores == pytest.approx(plain.users @ plain.items.T, abs=1e-5)


def test_pairs_are_the_users_of_both_domains(task, pairs_and_space):
    pairs, space, users = pairs_and_space
    both = np.intersect1d(users, space.users)
    assert users[pairs.sources.numpy()].tolist() == both.tolist()
    assert torch.equal(pairs.targets, space.vectors[np.searchsorted(space.users, both)])
    assert (pairs.observed != task.interactions["books"].matrix()[both]).nnz == 0


def test_the_error_of_interactions_is_the_loss_over_all_items(pairs_and_space):
    """Against the sum over every user-item pair, in numpy."""
    pairs, space, _ = pairs_and_space
    rows = torch.tensor([4, 0, 9])
    mapped = torch.randn(3, space.items.shape[1], generator=torch.Generator().manual_seed(0))
    found = interaction_error(pairs, space, 5.0)(mapped, rows)
    values = pairs.observed[rows.numpy()].toarray()
    weights = 1 + 5.0 * values
    squares = weights * ((values > 0) - mapped.numpy() @ space.items.T) ** 2
    constant = (weights * (values > 0)).sum(axis=1)
    expected = (squares.sum(axis=1)) / np.sqrt(constant)
    assert found.numpy() == pytest.approx(expected, rel=1e-4)


def test_the_error_of_factors_by_hand(pairs_and_space):
    pairs, _, _ = pairs_and_space
    rows = torch.tensor([2, 5])
    off = torch.zeros_like(pairs.targets[rows])
    off[0, 0], off[1, :2] = 2.0, 3.0
    assert factor_error(pairs)(pairs.targets[rows] + off, rows).tolist() == pytest.approx(
        [4.0, 18.0], rel=1e-5
    )


def test_a_users_own_factor_is_what_least_interaction_error_asks_for(pairs_and_space):
    """Descending on a user's error from anywhere ends at the ridge's optimum as the ridge goes to nothing."""
    pairs, space, _ = pairs_and_space
    rows = torch.tensor([3])
    error = interaction_error(pairs, space, 5.0)
    exact = WeightedALS(len(space.items.T), 5.0, 1e-9, device="cpu", solver="cholesky")
    best = torch.from_numpy(exact.fold_in(space.items, pairs.observed[[3]])).requires_grad_()
    (slope,) = torch.autograd.grad(error(best, rows).sum(), best)
    assert slope.abs().max() < 1e-3 * error(best, rows).item()


def test_a_gradient_is_the_same_to_the_bit_on_busy_cores():
    """What two threads add to one place comes in any order where one of them has to wait for its core."""
    rng = np.random.default_rng(0)
    observed = sparse.random(256, 400, 0.06, "csr", np.float32, rng)
    vectors = torch.from_numpy(rng.standard_normal((256, 32)).astype(np.float32))
    space = TargetSpace(np.arange(256), vectors, rng.standard_normal((400, 32)).astype(np.float32))
    rows = torch.arange(256)
    error, point = interaction_error(Pairs(rows, vectors, observed), space, 5.0), vectors.clone()
    before, noise, done = torch.get_num_threads(), rng.standard_normal((300, 300)), threading.Event()

    def work() -> None:
        while not done.is_set():
            noise @ noise

    busy = [threading.Thread(target=work) for _ in range(3)]
    torch.set_num_threads(2)
    try:
        for thread in busy:
            thread.start()
        point.requires_grad_()
        slopes = [torch.autograd.grad(error(point, rows).sum(), point)[0] for _ in range(60)]
    finally:
        done.set()
        torch.set_num_threads(before)
    assert all(torch.equal(slope, slopes[0]) for slope in slopes)


def linear_world(seed, pairs, alone=300, width=8):
    """Source vectors x of uneven spread, targets x R with R orthogonal: few pairs, many users of one."""
    rng = np.random.default_rng(seed)
    spread = np.linspace(0.2, 2, width)
    rotation = np.linalg.qr(rng.standard_normal((width, width)))[0]
    source = (rng.standard_normal((pairs + alone, width)) * spread).astype(np.float32)
    target = ((rng.standard_normal((pairs + alone, width)) * spread) @ rotation).astype(np.float32)
    noise = 0.3 * rng.standard_normal((pairs, width))
    target[:pairs] = source[:pairs] @ rotation + noise
    return torch.from_numpy(source), torch.from_numpy(target), (source[pairs:] @ rotation).astype(np.float32)


def error_of_strangers(kind, weight, seed, pairs=10):
    """Mean squared error of the map for users whom no pair taught."""
    source, target, truth = linear_world(seed, pairs)
    network = Linear.random(8, 8, torch.Generator().manual_seed(seed), torch.device("cpu"))
    how = {"learning_rate": 0.02, "weight_decay": 0.0, "epochs": 120, "patience": 120, "batch": 100}
    training = MapTraining.of(
        {"als": {}, "objective": "factors", "alignment": kind, "alignment_weight": weight, "descent": how}
    )
    known = Pairs(torch.arange(pairs), target[:pairs], sparse.csr_matrix((pairs, 1)))
    space = TargetSpace(np.arange(len(target)), target, np.zeros((1, 8), np.float32))
    training.descend(
        lambda rows: network(source[rows]),
        network.parameters(),
        known,
        len(source),
        space,
        torch.Generator().manual_seed(seed),
    )
    return float(np.square(network(source[pairs:]).numpy() - truth).mean())


@pytest.mark.parametrize(("kind", "weight"), [("coral", 3.0), ("mmd", 3.0)])
def test_aligning_with_users_of_one_domain_helps_where_pairs_are_few(kind, weight):
    plain = np.array([error_of_strangers("none", 0.0, seed) for seed in range(3)])
    aligned = np.array([error_of_strangers(kind, weight, seed) for seed in range(3)])
    assert (aligned < 0.99 * plain).all(), (plain, aligned)


@pytest.mark.parametrize("name", MAPPERS)
def test_without_a_user_of_both_domains_a_mapper_says_nothing(name, task):
    """Everybody is known in one domain alone: nothing teaches a map, so no score differs from another."""
    alone = np.arange(120) % 2 == 0
    logs = {d: log.of_users(alone if d == "books" else ~alone) for d, log in task.interactions.items()}
    scores = (
        SCORERS[name]().fit(replace(task, interactions=logs, memo={})).score(histories(logs, np.arange(120)))
    )
    assert not scores.any()


@pytest.mark.parametrize("name", MAPPERS)
def test_planted_taste_reaches_users_of_whom_the_target_knows_nothing(name):
    task = task_of(snapshot(users=300))
    log = task.interactions["books"]
    hidden = np.arange(300) % 5 == 0
    cold = replace(task, interactions={**task.interactions, "books": log.of_users(~hidden)}, memo={})
    users = np.flatnonzero(hidden & (log.counts() > 0) & (task.interactions["films"].counts() > 2))
    settings = json.loads(json.dumps(SCORERS[name]().settings))
    settings["training"]["descent"] = {"learning_rate": 0.01, "batch": 32}
    kind = "meta_mapper" if name == "meta_mapper" else "mapper"
    scores = make(kind, settings).fit(cold).score(histories(cold.interactions, users))
    top = scores.topk(8, dim=1).indices.numpy()
    truth = log.matrix()[users].toarray() > 0
    popular = np.argsort(-np.asarray((cold.interactions["books"].matrix() > 0).sum(axis=0)).ravel())[:8]
    assert np.take_along_axis(truth, top, axis=1).sum() > 1.4 * truth[:, popular].sum()


def test_the_attention_is_a_weighted_mean_by_hand():
    """Two past items with logits 0 and log 3: shares 1/4 and 3/4 of the pooled factor, in any company."""
    source = SourceMap.random(
        np.eye(3, dtype=np.float32), 4, 2, torch.Generator().manual_seed(0), torch.device("cpu")
    )
    logits = {0: 0.0, 1: math.log(3), 2: 2 * MOST_LOGIT}
    source.attention = lambda x: torch.tensor([[logits[int(row.argmax())]] for row in x])
    found = source.pooled(np.array([0, 1, 2]), np.array([0, 2, 2, 3]))
    assert found.numpy() == pytest.approx(np.array([[0.25, 0.75, 0], [0, 0, 0], [0, 0, 1]]), abs=1e-6)


def test_every_user_has_a_map_of_their_own(task):
    scorer = MetaMapper(["films"], ALS, {"als": ALS, "descent": {**QUICK, "learning_rate": 0.05}}, 8).fit(
        task
    )
    past = histories(task.interactions, np.flatnonzero(task.interactions["films"].counts() > 3)[:2])
    first, second = scorer._sources[0].maps(past.weights["films"])
    assert (first - second).abs().max() > 1e-3


def test_memory_blocks_change_no_score_of_a_meta_mapper(task, monkeypatch):
    from ml.bridge.scorers import meta_mapper as module

    scorer, past = SCORERS["meta_mapper"]().fit(task), histories(task.interactions, np.arange(50))
    whole = scorer.score(past)
    monkeypatch.setattr(module, "CHUNK_NUMBERS", 1)
    assert torch.allclose(scorer.score(past), whole, atol=1e-6)
    assert scorer.score(past.rows(slice(0, 0))).shape == (0, 40)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "forest"}, "expected linear or mlp"),
        ({"training": {"als": ALS, "objective": "ranks"}}, "expected one of factors, interactions"),
        ({"training": {"als": ALS, "alignment": "hope"}}, "expected one of none, coral, mmd, adversarial"),
    ],
)
def test_settings_that_mean_nothing_are_refused(change, words):
    settings = {"blocks": [(ALSUserFactors("films", **ALS), 1.0)], "training": {"als": ALS}, **change}
    with pytest.raises(ValueError, match=words):
        Mapper(**settings)


def test_mappers_are_tried_for_cold_users_and_share_the_factors_of_the_bridges(task):
    names = {n for n in scenario_candidates("cold", task) if kind_of(n) in ("mapper", "meta_mapper")}
    assert names == {"mapper:linear", "mapper:mlp", "mapper:mlp-coral", "meta_mapper:h16"}
    assert not any(
        "mapper" in n for n in scenario_candidates("time", task) | scenario_candidates("cold", task.twin())
    )
    fresh = task_of(snapshot())
    found = scenario_candidates("cold", fresh)
    fitted("factor_bridge:f64-a10-t0", found["factor_bridge:f64-a10-t0"], fresh)
    before = len(fresh.memo)
    fitted("mapper:linear", found["mapper:linear"], fresh)
    assert len(fresh.memo) == before + 1  # the target's factors of all its users
    fitted("meta_mapper:h16", found["meta_mapper:h16"], fresh)
    assert len(fresh.memo) == before + 1
