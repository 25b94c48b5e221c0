"""What attributes add to a bridge: departments of the Complete Journey till as domains, with item categories.

For every department as target, cold users are ranked by popularity, by the item bridge from the other
departments, by what categories their past items are of, and by both; and what permutation tests say of each
department's categories, and of categories dealt out at random. Nothing is chosen here: every candidate is
measured on the test users, with default settings. Texts are left out, as they name the category.

    python benchmarks/attributes.py --data ../shared/data/complete_journey
"""

from __future__ import annotations

import os

# Before torch loads its threads: spinning ones collapse throughput when another process wants the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ml.bridge.blocks.attributes import ItemAttributeProfile
from ml.bridge.blocks.profiles import SVDFactors
from ml.bridge.blocks.switches import CATEGORY, p_values
from ml.bridge.contract import Scorer
from ml.bridge.histories import histories
from ml.bridge.protocol import Protocol, Split
from ml.bridge.scorers.popularity import Popularity
from ml.bridge.scorers.ridge import RidgeBridge
from ml.data import Snapshot
from ml.metrics.intervals import paired_lift
from ml.metrics.ranking import recall_at_k
from ml.retrieval.exact import top_k_scores
from ml.retrieval.filters import ItemAttributes, Labels
from ml.snapshot_files import INTERACTIONS_SCHEMA, read_snapshot, write_snapshot

DEPARTMENTS = {
    "GROCERY": "grocery",
    "DRUG GM": "drugstore",
    "PRODUCE": "produce",
    "MEAT": "meat",
    "DELI": "deli",
}
K, RIDGE, SHARE, MONTH = 10, 10.0, 0.2, 30 * 86_400_000_000


def snapshot_of(data: Path, folder: Path) -> Snapshot:
    """The till's rows as a snapshot: one domain a department, the category of what is sold there."""
    till, shelf = (pyarrow.csv.read_csv(data / f"{name}.csv.gz") for name in ("transactions", "products"))
    till, shelf = (table.append_column("domain", _domains(table)) for table in (till, shelf))
    items = pa.table(
        {
            "domain": shelf["domain"],
            "item_id": shelf["item_id"].cast(pa.string()),
            "title": shelf["ptype"],
            "text_hash": pa.nulls(len(shelf), pa.string()),
            "category": shelf["category"],
        }
    ).filter(pc.is_valid(shelf["domain"]))
    known = items.select(["domain", "item_id"])
    rows = till.filter(pc.is_valid(till["domain"])).select(["domain", "user_id", "item_id", "timestamp"])
    rows = rows.set_column(2, "item_id", rows["item_id"].cast(pa.string()))
    rows = rows.join(known, ["domain", "item_id"], join_type="left semi")
    rows = rows.group_by(["domain", "user_id", "item_id"]).aggregate(
        [("timestamp", "max"), ("timestamp", "count")]
    )
    times = pc.multiply(rows["timestamp_max"], 1_000_000).cast(pa.timestamp("us", tz="UTC"))
    columns = [
        rows["domain"],
        rows["user_id"].cast(pa.string()),
        rows["item_id"],
        times,
        rows["timestamp_count"],
    ]
    log = pa.table(dict(zip(INTERACTIONS_SCHEMA.names, columns, strict=True))).cast(INTERACTIONS_SCHEMA)
    as_of = pc.max(times).cast(pa.int64()).as_py() + 1
    return read_snapshot(write_snapshot(folder, log, items, as_of))


def _domains(table: pa.Table) -> pa.Array:
    return pa.array([DEPARTMENTS.get(name) for name in table["department"].to_pylist()], pa.string())


def shuffled(snapshot: Snapshot, seed: int = 0) -> Snapshot:
    """The snapshot with every department's categories dealt out anew."""
    rng, catalogues = np.random.default_rng(seed), {}
    for domain, catalogue in snapshot.catalogues.items():
        held = catalogue.attributes.category.lists()
        dealt = Labels.of([held[place] for place in rng.permutation(len(held))])
        catalogues[domain] = replace(catalogue, attributes=ItemAttributes(len(held), category=dealt))
    return replace(snapshot, catalogues=catalogues)


def candidates(sources: tuple[str, ...]) -> dict[str, Scorer]:
    """Popularity, and the item bridge with and without the block."""
    factors: list = [(SVDFactors(d), 1.0) for d in sources]
    shelves: list = [(ItemAttributeProfile(d), 1.0) for d in sources]
    return {
        "popularity": Popularity(),
        "categories": RidgeBridge(shelves, RIDGE),
        "item bridge": RidgeBridge(factors, RIDGE),
        "item bridge + categories": RidgeBridge(factors + shelves, RIDGE),
    }


def recalls(split: Split, sources: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Candidate -> (u,) recall of the test users."""
    past = histories(split.task.interactions, split.users)
    relevant = split.truth.matrix(np.ones(len(split.truth)))[split.users] > 0
    return {
        name: recall_at_k(top_k_scores(scorer.fit(split.task).score(past), K)[0], relevant)
        for name, scorer in candidates(sources).items()
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="transactions.csv.gz and products.csv.gz")
    data = parser.parse_args().data
    with tempfile.TemporaryDirectory() as folder:
        snapshot = snapshot_of(data, Path(folder))
    names = list(candidates(()))
    print(f"| target | users | {' | '.join(names)} | gain of categories | p | p shuffled |")
    print("|:--|--:|" + "--:|" * (len(names) + 3))
    dealt = shuffled(snapshot)
    for target in snapshot.domains:
        sources = tuple(d for d in snapshot.domains if d != target)
        split = Protocol(snapshot, target, sources, SHARE, MONTH).cold("measure")
        found = recalls(split, sources)
        gain = paired_lift(found["item bridge + categories"], found["item bridge"])
        tests = [
            p_values(Protocol(world, target, (), SHARE, MONTH).cold("choose").task, world.as_of)[target][
                CATEGORY
            ]
            for world in (snapshot, dealt)
        ]
        means = " | ".join(f"{np.nanmean(found[name]):.4f}" for name in names)
        interval = f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
        print(f"| {target} | {gain.n} | {means} | {interval} | {tests[0]:.3f} | {tests[1]:.3f} |", flush=True)


if __name__ == "__main__":
    main()
