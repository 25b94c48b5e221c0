"""What is registered and served: fitted scorers, a blend per cohort, the users' histories and the ids.

A folder of safetensors, JSON and Parquet, self-contained: it loads wherever `ml/` imports.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.numpy import load_file, save_file
from scipy import sparse

from ml import columns as c
from ml.bridge.blend import Blend
from ml.bridge.candidates import make
from ml.bridge.contract import Parts, Scorer
from ml.bridge.histories import Histories, histories
from ml.bridge.protocol import scaled
from ml.bridge.reasons import because
from ml.bridge.review_block import ReviewProfile
from ml.bridge.shown import AVAILABLE, allowed_items, beside, carried_to
from ml.data import Catalogue, Interactions, Snapshot, attributes_of
from ml.metrics.cohorts import COLD, USER_COHORTS, user_cohort
from ml.retrieval.exact import top_k_scores
from ml.retrieval.filters import Filter, ItemAttributes
from ml.reviews import Reviews

# Rows of dense scores held at once.
CHUNK_SCORES = 8_000_000
FORMAT = 1  # of the folder; raise it when an older folder can no longer be read
UNKNOWN = "unknown user: the most popular items"
NO_HISTORY = "no history in the domains this model reads: the most popular items"


@dataclass(frozen=True)
class Member:
    """A fitted scorer with the kind that makes it again."""

    kind: str
    scorer: Scorer


@dataclass(frozen=True)
class Recommender:
    """Recommends items of `target`.

    blends: cohort -> blend of the members. logs: the visible interactions per domain, weights of mean 1.
    item_ids and titles: per domain. settings: JSON-able facts that are logged with the model. attributes:
    what the target's catalogue says that lists are filtered by, None where that is nothing.
    """

    target: str
    user_ids: np.ndarray
    item_ids: Mapping[str, np.ndarray]
    titles: Mapping[str, np.ndarray]
    logs: Mapping[str, Interactions]
    members: Mapping[str, Member]
    blends: Mapping[str, Blend]
    settings: Mapping[str, Any]
    attributes: ItemAttributes | None = None

    def with_catalogue(self, catalogue: Catalogue) -> Recommender:
        """The same model with what this catalogue of the target says that lists are filtered by."""
        return replace(self, attributes=carried_to(self.item_ids[self.target], catalogue))

    def at(self, snapshot: Snapshot) -> Recommender:
        """The same model with a newer snapshot's histories: new users and events count without a retrain.

        So does what the newer catalogue says of availability, category and region. Events on items that the
        model was not fitted with wait for the next one.
        """
        logs = {}
        for domain, ids in self.item_ids.items():
            log, names = snapshot.interactions[domain], snapshot.catalogues[domain].item_ids
            place = np.searchsorted(ids, names).clip(max=max(len(ids) - 1, 0))
            known = ids[place] == names if len(ids) else np.zeros(len(names), dtype=bool)
            kept = log.select(known[log.items])
            logs[domain] = replace(kept, items=place[kept.items].astype(np.int32), n_items=len(ids))
        moved = replace(self, user_ids=snapshot.users, logs=scaled(logs))
        return moved.with_catalogue(snapshot.catalogues[self.target])

    def recommend(
        self,
        user_ids: Sequence[str],
        k: int = 10,
        exclude_seen: bool = True,
        explain: bool = False,
        only: Filter = AVAILABLE,
    ) -> pa.Table:
        """user_id, item_id, score, rank (1 is best), reason: k rows a user, fewer if the catalogue ends.

        `only` items that pass the filter are listed, by default those that are available; FilterError where
        it asks for an attribute or a value that the catalogue does not have. A user of whom nothing is known
        gets the most popular items and a reason that says so. With `explain` the reason names the past items
        that carry each recommendation. Users keep the order they are asked in.
        """
        asked = np.asarray(user_ids, dtype=str)
        place = np.searchsorted(self.user_ids, asked).clip(max=max(len(self.user_ids) - 1, 0))
        known = self.user_ids[place] == asked if len(self.user_ids) else np.zeros(len(asked), dtype=bool)
        tables, allowed = [], allowed_items(self.attributes, len(self.item_ids[self.target]), only)
        size = max(1, CHUNK_SCORES // max(len(self.item_ids[self.target]), 1))
        for start in range(0, len(asked), size):
            rows = slice(start, start + size)
            mine = asked[rows], place[rows], known[rows]
            tables.append(self._recommend(*mine, k, exclude_seen, explain, allowed))
        return pa.concat_tables(tables) if tables else _table([], [], [], [], [])

    def _recommend(
        self,
        asked: np.ndarray,
        place: np.ndarray,
        known: np.ndarray,
        k: int,
        exclude_seen: bool,
        explain: bool,
        allowed: np.ndarray | None,
    ) -> pa.Table:
        past = self._histories(place, known)
        cohorts, informed = self.cohorts(past)
        ranked, scores = self.rank(past, k, exclude_seen, allowed)
        reasons = np.where(informed, [self._served_by(cohort) for cohort in cohorts], NO_HISTORY)
        reasons = np.where(known, reasons, UNKNOWN)
        user, slot = np.nonzero(ranked >= 0)
        items = ranked[user, slot]
        lines = reasons[user].astype(object)
        if explain:
            for row in np.flatnonzero(informed & known):
                mine = user == row
                lines[mine] = self._because(past.rows(slice(row, row + 1)), str(cohorts[row]), items[mine])
        ids = self.item_ids[self.target][items]
        return _table(asked[user], ids, scores[user, slot], slot + 1, lines)

    def rank(
        self, past: Histories, k: int, exclude_seen: bool = True, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(u, k) positions of `allowed` (n,) items, -1 where there are no more, and their scores."""
        cohorts, informed = self.cohorts(past)
        routes = np.where(informed, cohorts, "popularity")
        ranked = np.full((len(past), k), -1, dtype=np.int64)
        values = np.full((len(past), k), -np.inf, dtype=np.float32)
        for route in np.unique(routes):
            rows = np.flatnonzero(routes == route)
            mine = past.rows(rows)
            seen = mine.weights[self.target] if exclude_seen else None
            scores = self._scores(route, mine)
            ranked[rows], values[rows] = top_k_scores(scores, k, exclude=seen, allowed=allowed)
        return ranked, values

    def cohorts(self, past: Histories) -> tuple[np.ndarray, np.ndarray]:
        """(u,) each user's cohort in the target, and (u,) whether anything at all is known of the user."""
        counts = np.sum([past.counts(d) for d in past.weights], axis=0)
        return user_cohort(past.counts(self.target)), counts > 0

    def explain(self, user_id: str, item_ids: Sequence[str]) -> Parts:
        """The scores of the items for a known user as an exact sum over the user's past items and domains."""
        place = np.searchsorted(self.user_ids, user_id)
        if place == len(self.user_ids) or self.user_ids[place] != user_id:
            raise KeyError(
                f"user {user_id!r} is not in this model: it knows users seen before its as-of time"
            )
        catalogue = self.item_ids[self.target]
        items = np.searchsorted(catalogue, np.asarray(item_ids, dtype=str)).clip(max=len(catalogue) - 1)
        if any(catalogue[items] != np.asarray(item_ids, dtype=str)):
            raise KeyError(f"an item of {list(item_ids)!r} is not in the catalogue of {self.target}")
        past = self._histories(np.array([place]), np.array([True]))
        cohorts, informed = self.cohorts(past)
        route = str(cohorts[0]) if informed[0] else "popularity"
        return self._blend(route).parts(self._scorers, past, items)

    @property
    def _scorers(self) -> dict[str, Scorer]:
        return {name: member.scorer for name, member in self.members.items()}

    @property
    def _reads_reviews(self) -> set[str]:
        blocks = [b for member in self.members.values() for b in member.scorer.settings.get("blocks", [])]
        return {block["domain"] for block in blocks if block["kind"] == ReviewProfile.kind}

    def _blend(self, cohort: str) -> Blend:
        return self.blends.get(cohort, Blend({"popularity": 1.0}))

    def _scores(self, route: str, past: Histories) -> torch.Tensor:
        return self._blend(route).score(self._scorers, past)

    def _histories(self, place: np.ndarray, known: np.ndarray) -> Histories:
        if not len(self.user_ids):
            empty = {
                d: sparse.csr_matrix((len(place), log.n_items), dtype=np.float32)
                for d, log in self.logs.items()
            }
            return Histories(empty, empty)
        past = histories(self.logs, np.where(known, place, 0))
        if known.all():
            return past
        return past.changed(lambda matrix: _keep_rows(matrix, known))

    def _served_by(self, cohort: str) -> str:
        blend = self._blend(str(cohort))
        read = {d for name in blend.weights for d in self.members[name].scorer.domains} - {self.target}
        own = any(name != "popularity" for name in blend.weights)
        if read:
            return f"{cohort} user: from {', '.join(sorted(read))}" + (
                "" if cohort == COLD else f" and {self.target}"
            )
        return f"{cohort} user: from {self.target}" if own else f"{cohort} user: the most popular items"

    def _because(self, past: Histories, cohort: str, items: np.ndarray) -> list[str]:
        parts = self._blend(cohort).parts(self._scorers, past, items)
        return [because(parts, j, self._title) for j in range(len(items))]

    def _title(self, domain: str, position: int) -> str:
        title = self.titles[domain][position]
        return f"“{title}”" if title else f"item {self.item_ids[domain][position]}"

    def save(self, folder: Path) -> None:
        """Write the folder; an existing one is replaced whole."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as made:
            built = Path(made) / "model"
            built.mkdir()
            self._write(built)
            if folder.exists():
                folder.rename(Path(made) / "replaced")
            built.rename(folder)

    def _write(self, folder: Path) -> None:
        arrays, members = {}, {}
        for name, member in self.members.items():
            facts, mine = member.scorer.state()
            members[name] = {"kind": member.kind, "settings": dict(member.scorer.settings), "facts": facts}
            arrays.update({f"{name}/{key}": np.ascontiguousarray(value) for key, value in mine.items()})
        for domain, log in self.logs.items():
            fields = {"users": log.users, "items": log.items, "weights": log.weights, "times": log.times}
            if log.reviews is not None:
                said = log.reviews.arrays(texts=domain in self._reads_reviews)
                fields |= {f"reviews.{key}": value for key, value in said.items()}
            arrays.update(
                {f"logs/{domain}/{key}": np.ascontiguousarray(value) for key, value in fields.items()}
            )
        save_file(arrays, folder / "weights.safetensors")
        document = {
            "format": FORMAT,
            "target": self.target,
            "domains": list(self.logs),
            "members": members,
            "blends": {cohort: dict(blend.weights) for cohort, blend in self.blends.items()},
            "settings": dict(self.settings),
        }
        (folder / "model.json").write_text(json.dumps(document, indent=2, sort_keys=True))
        pq.write_table(pa.table({c.USER_ID: pa.array(self.user_ids, pa.string())}), folder / "users.parquet")
        for domain, ids in self.item_ids.items():
            titles = pa.array(self.titles[domain], pa.string())
            table = pa.table({c.ITEM_ID: pa.array(ids, pa.string()), c.TITLE: titles})
            known = self.attributes if domain == self.target else None
            pq.write_table(beside(table, known), folder / f"items-{domain}.parquet")


def load(folder: Path) -> Recommender:
    """Read a folder written by `Recommender.save`."""
    document_path = Path(folder) / "model.json"
    if not document_path.is_file():
        raise FileNotFoundError(f"{folder} holds no Landbridge model: expected model.json in it")
    document = json.loads(document_path.read_text())
    if document["format"] != FORMAT:
        raise ValueError(
            f"{folder} has format {document['format']}, this version reads {FORMAT}: train it again"
        )
    _check_whole(Path(folder), document["domains"])
    arrays = load_file(Path(folder) / "weights.safetensors")
    user_ids = np.array(pq.read_table(folder / "users.parquet")[c.USER_ID].to_pylist(), dtype=str)
    item_ids, titles, logs, known = {}, {}, {}, {}
    for domain in document["domains"]:
        table = pq.read_table(folder / f"items-{domain}.parquet")
        item_ids[domain] = np.array(table[c.ITEM_ID].to_pylist(), dtype=str)
        titles[domain] = np.array(table[c.TITLE].to_pylist(), dtype=object)
        known[domain] = attributes_of(table)
        fields = {key: arrays[f"logs/{domain}/{key}"] for key in ("users", "items", "weights", "times")}
        logs[domain] = Interactions(
            **fields,
            n_users=len(user_ids),
            n_items=len(item_ids[domain]),
            reviews=_reviews(f"logs/{domain}/reviews.", arrays),
        )
    members = {}
    for name, facts in document["members"].items():
        mine = {key.removeprefix(f"{name}/"): a for key, a in arrays.items() if key.startswith(f"{name}/")}
        scorer = make(facts["kind"], facts["settings"]).restore(facts["facts"], mine)
        members[name] = Member(facts["kind"], scorer)
    blends = {cohort: Blend(weights) for cohort, weights in document["blends"].items()}
    target, settings = document["target"], document["settings"]
    return Recommender(target, user_ids, item_ids, titles, logs, members, blends, settings, known[target])


def _check_whole(folder: Path, domains: Sequence[str]) -> None:
    names = ["weights.safetensors", "users.parquet", *(f"items-{domain}.parquet" for domain in domains)]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"the model in {folder} lacks {', '.join(missing)}: copy it whole or save it again"
        )


def _reviews(prefix: str, arrays: Mapping[str, np.ndarray]) -> Reviews | None:
    mine = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
    return Reviews.restore(mine) if mine else None


def _keep_rows(matrix: sparse.csr_matrix, keep: np.ndarray) -> sparse.csr_matrix:
    """The matrix with the rows where `keep` (u,) is False emptied; stored zeros of the others stay stored."""
    lengths = np.diff(matrix.indptr)
    held = np.repeat(keep, lengths)
    pointers = np.concatenate([[0], np.cumsum(lengths * keep)])
    return sparse.csr_matrix((matrix.data[held], matrix.indices[held], pointers), shape=matrix.shape)


def _table(users, items, scores, ranks, reasons) -> pa.Table:
    return pa.table(
        {
            c.USER_ID: pa.array(users, pa.string()),
            c.ITEM_ID: pa.array(items, pa.string()),
            c.SCORE: pa.array(scores, pa.float32()),
            c.RANK: pa.array(ranks, pa.int32()),
            c.REASON: pa.array(reasons, pa.string()),
        }
    )


__all__ = ["USER_COHORTS", "Member", "Recommender", "load"]
