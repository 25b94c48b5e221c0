"""Evidence small enough to register in a moment: real popularity models and hand-made lists, no training."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ml.bridge.contract import Task
from ml.bridge.lists import LISTS_SCHEMA
from ml.bridge.scorers.popularity import Popularity
from ml.bridge.serve.recommender import Member, Recommender
from ml.bridge.train import CANDIDATES
from ml.data import Catalogue, Interactions
from ml.metrics.gate import decide
from ml.metrics.peers import peer_lifts
from ml.metrics.report import evaluate
from orchestration.config import Home
from orchestration.resources.evidence import Evidence
from orchestration.review.card import Card
from orchestration.review.changes import DomainFacts
from orchestration.review.cohort_plot import cohort_plot

ITEMS, USERS = 30, 12


def recommender(target: str, candidate: str, seed: int = 0) -> Recommender:
    """A popularity model whose item counts follow from the seed."""
    random = np.random.default_rng(seed)
    users = np.repeat(np.arange(USERS), 5).astype(np.int32)
    items = np.concatenate([np.sort(random.permutation(ITEMS)[:5]) for _ in range(USERS)]).astype(np.int32)
    log = Interactions(
        users, items, np.ones(len(users), np.float32), np.zeros(len(users), np.int64), USERS, ITEMS
    )
    item_ids = np.array([f"{target}-{i:02d}" for i in range(ITEMS)])
    titles = np.array([f"Title {i}" for i in range(ITEMS)], dtype=object)
    task = Task(target, (), {target: log}, {target: Catalogue(item_ids, titles, titles)})
    members = {"popularity": Member("popularity", Popularity().fit(task))}
    user_ids = np.array([f"u{i:02d}" for i in range(USERS)])
    return Recommender(
        target,
        user_ids,
        {target: item_ids},
        {target: titles},
        {target: log},
        members,
        {},
        {"candidate": candidate},
    )


def lists(gain: int = 3, peers: Sequence[str] = ()) -> pa.Table:
    """150 cold users with 10 relevant items; popularity and twin list 2 of them, the bridge `gain` more, and
    every peer 3.
    """
    relevant = list(range(10))
    rows = [
        {
            "scenario": "cold",
            "cohort": "cold",
            "candidate": name,
            "user_id": f"t{user:03d}",
            "items": relevant[:hits] + list(range(10, 20 - hits)),
            "relevant": relevant,
        }
        for user in range(150)
        for name, hits in (
            ("popularity", 2),
            ("twin", 2),
            ("bridge", 2 + gain),
            *((peer, 3) for peer in peers),
        )
    ]
    return pa.Table.from_pylist(rows, schema=LISTS_SCHEMA)


def evidence(
    home: Home,
    target: str,
    as_of: str = "2026-03-01",
    seed: int = 0,
    gain: int = 3,
    peers: Sequence[str] = (),
) -> Evidence:
    """Everything `Registry.register` reads, as `bridge` and `evaluation` leave it on disk."""
    training, snapshot = home.models / as_of / target, home.snapshots / "world"
    for name in CANDIDATES:
        recommender(target, name, seed).save(training / name)
    selection = {
        "cohorts": {"cold": {"bridge": {"joint": 1}}},
        "peers": {"cold": {peer: f"{peer}:first" for peer in peers}},
    }
    (training / "selection.json").write_text(json.dumps(selection))
    report = evaluate(lists(gain, peers), ITEMS, k=10)
    decision = decide(report)
    folder = training / "evaluation"
    folder.mkdir(exist_ok=True)
    (folder / "per_user.parquet").write_bytes(_parquet(report.per_user))
    (folder / "recall_by_cohort.png").write_bytes(cohort_plot(report.rows, 10))
    snapshot.mkdir(parents=True, exist_ok=True)
    (snapshot / "manifest.json").write_text(json.dumps({"interactions": 60, "items": ITEMS}))
    card = Card(
        target=target,
        as_of=as_of,
        k=10,
        serve=decision.serve,
        passed=decision.passed,
        reasons=decision.reasons,
        rows=report.rows,
        lifts=report.lifts,
        domains={target: DomainFacts(60, USERS, ITEMS, 0, "2026-01-01", "2026-02-28")},
        sources=["films"],
        encoder="minilm-0",
        data_digest="ab" * 32,
        peers=peer_lifts(report),
    )
    settings = {"as_of": as_of, "sources": ["films"], "evaluation": {"k": 10, "seed": 0}}
    lineage = {"encoder": "minilm-0", "git_sha": "0" * 40, "dagster_run_id": "run"}
    return Evidence(card, report, training, snapshot, settings, lineage)


def _parquet(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def files_below(folder: Path) -> set[str]:
    """Names of all files below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
