"""What is registered and served: fitted scorers, a blend per cohort, the users' histories and the ids.

A folder of safetensors, JSON and Parquet, self-contained: it loads wherever `ml/` imports.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from scipy import sparse

from ml import columns as c
from ml.bridge.blocks.attributes import UserAttributeBlock
from ml.bridge.contract import Parts, Scorer
from ml.bridge.histories import Histories, histories
from ml.bridge.protocol import scaled
from ml.bridge.select.blend import Blend
from ml.bridge.select.candidates import Member
from ml.bridge.serve import model_files
from ml.bridge.serve.new_items import NEW, NewItems, given_room, like, without_listed
from ml.bridge.serve.reasons import Support, because, shortened
from ml.bridge.serve.shown import AVAILABLE, allowed_items, carried_to
from ml.data import Catalogue, Interactions, Snapshot
from ml.metrics.cohorts import COLD, COLD_ITEMS, USER_COHORTS, user_cohort
from ml.retrieval.exact import top_k_scores
from ml.retrieval.filters import Filter, ItemAttributes
from ml.retrieval.rerank import Reranker

# Rows of dense scores held at once.
CHUNK_SCORES = 8_000_000
UNKNOWN = "unknown user: the most popular items"
NO_HISTORY = "no history in the domains this model reads: the most popular items"


@dataclass(frozen=True)
class Recommender:
    """Recommends items of `target`.

    blends: cohort -> blend of the members. logs: the visible interactions per domain, weights of mean 1.
    item_ids and titles: per domain. settings: JSON-able facts that are logged with the model. attributes:
    what the target's catalogue says that lists are filtered by, None where that is nothing. reranker: what
    puts lists in another order than the scores', None where nothing does. new_items: who gets the last places
    of a list, None where nobody does; their blend is the one of the cohort COLD_ITEMS.
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
    reranker: Reranker | None = None
    new_items: NewItems | None = None

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
        that carry each recommendation, and a last column, crossed, is the share of it that came from other
        domains (`reasons.py`). Users keep the order they are asked in. Scores compare among the items
        of one reason: those of new items are of another blend.
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
        if not tables:
            return _table([], [], [], [], [], [] if explain else None)
        return pa.concat_tables(tables)

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
        listed = self.rank(past, k, exclude_seen, allowed)
        ranked, scores, is_new = self.with_new_items(past, *listed, exclude_seen, allowed)
        reasons = np.where(informed, [self._served_by(cohort) for cohort in cohorts], NO_HISTORY)
        reasons = np.where(known, reasons, UNKNOWN)
        user, slot = np.nonzero(ranked >= 0)
        items = ranked[user, slot]
        new = is_new[user, slot]
        lines = np.where(new, NEW, reasons[user]).astype(object)
        crossed = np.zeros(len(user), np.float32)
        for row in np.flatnonzero(informed & known) if explain else ():
            mine, one = np.arange(*np.searchsorted(user, [row, row + 1])), past.rows(slice(row, row + 1))
            for route, places in ((str(cohorts[row]), mine[~new[mine]]), (COLD_ITEMS, mine[new[mine]])):
                if len(places):
                    lines[places], crossed[places] = self._said(one, route, items[places])
        ids = self.item_ids[self.target][items]
        return _table(asked[user], ids, scores[user, slot], slot + 1, lines, crossed if explain else None)

    def rank(
        self, past: Histories, k: int, exclude_seen: bool = True, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(u, k) positions of `allowed` (n,) items, -1 where there are no more, and their scores.

        Best first, or as `reranker` orders them; the scores are those of the blend all the same.
        """
        cohorts, informed = self.cohorts(past)
        routes = np.where(informed, cohorts, "popularity")
        depth = k if self.reranker is None else self.reranker.depth(k)
        ranked = np.full((len(past), depth), -1, dtype=np.int64)
        values = np.full((len(past), depth), -np.inf, dtype=np.float32)
        for route in np.unique(routes):
            rows = np.flatnonzero(routes == route)
            mine = past.rows(rows)
            seen = mine.weights[self.target] if exclude_seen else None
            scores = self._scores(route, mine)
            ranked[rows], values[rows] = top_k_scores(scores, depth, exclude=seen, allowed=allowed)
        return (ranked, values) if self.reranker is None else self.reranker(ranked, values, k)

    def with_new_items(
        self,
        past: Histories,
        ranked: np.ndarray,
        scores: np.ndarray,
        exclude_seen: bool = True,
        allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lists (u, k), the last places given to new items if they have any; (u, k) bool: which are new."""
        room = self.new_items.room(ranked.shape[1]) if self.new_items and COLD_ITEMS in self.blends else 0
        if not self.new_items or room < 1:
            return ranked, scores, np.zeros(ranked.shape, dtype=bool)
        listed = without_listed(past.weights[self.target], ranked, exclude_seen)
        new, worth = self.rank_new(past, room, self.new_items.among(allowed), listed)
        # What is worth no more than a new item drawn by chance gets no place: nothing is known of the user.
        new[(worth <= 0) | ~self.cohorts(past)[1][:, None]] = -1
        return given_room(ranked, scores, new, worth)

    def rank_new(
        self, past: Histories, k: int, allowed: np.ndarray, exclude: sparse.csr_matrix
    ) -> tuple[np.ndarray, np.ndarray]:
        """(u, k) the best of the `allowed` (n,) items by the blend of cold items, and their scores.

        exclude: (u, n), what is left out.
        """
        return top_k_scores(self._scores(COLD_ITEMS, past), k, exclude=exclude, allowed=allowed)

    def cohorts(self, past: Histories) -> tuple[np.ndarray, np.ndarray]:
        """(u,) each user's cohort in the target, and (u,) whether anything at all is known of the user."""
        counts = np.sum([past.counts(d) for d in past.weights], axis=0)
        informed = counts > 0
        if not informed.all():
            for domain in self.reading(UserAttributeBlock.kind, self._blend(COLD)) & set(past.attributes):
                informed |= np.diff(past.attributes[domain].indptr) > 0
        return user_cohort(past.counts(self.target)), informed

    def explain(self, user_id: str, item_ids: Sequence[str], as_new: bool = False) -> Parts:
        """The scores of the items for a known user as an exact sum over the user's past items and blocks.

        as_new: their scores among new items, as for the places those have.
        """
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
        route = COLD_ITEMS if as_new else str(cohorts[0]) if informed[0] else "popularity"
        return self._blend(route).parts(self._scorers, past, items)

    @property
    def _scorers(self) -> dict[str, Scorer]:
        return {name: member.scorer for name, member in self.members.items()}

    def reading(self, kind: str, blend: Blend | None = None) -> set[str]:
        """The domains that a block of this kind reads, in any member or in those of `blend`."""
        scorers = (self.members[name].scorer for name in (self.members if blend is None else blend.weights))
        blocks = [block for scorer in scorers for block in scorer.settings.get("blocks", [])]
        return {block["domain"] for block in blocks if block["kind"] == kind}

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

    @property
    def verbs(self) -> Mapping[str, str]:
        """domain -> what its users did with items, where reasons may say so."""
        return self.settings.get("train_settings", {}).get("verbs", {})

    def support(self, past: Histories, cohort: str, items: np.ndarray) -> Support:
        """What speaks for `items` (j,) positions to the one user in `past`, by the blend of a cohort."""
        return Support.of(self._blend(cohort).parts(self._scorers, past, items))

    def _said(self, past: Histories, route: str, items: np.ndarray) -> tuple[list[str], np.ndarray]:
        """For the one user in `past` why each item is listed, and the share that came from other domains."""
        support = self.support(past, route, items)
        if route == COLD_ITEMS:
            lines = [like(support, j, self.title) for j in range(len(items))]
        else:
            lines = [because(support, j, self.title, self.verbs) for j in range(len(items))]
        return lines, support.crossed(self.target)

    def title(self, domain: str, position: int) -> str:
        """How a sentence calls an item: its title in quotation marks, cut where it is long, else its id."""
        title = self.titles[domain][position]
        return f"“{shortened(title)}”" if title else f"item {self.item_ids[domain][position]}"

    def save(self, folder: Path) -> None:
        """Write the folder; an existing one is replaced whole."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as made:
            built = Path(made) / "model"
            built.mkdir()
            model_files.write(built, self)
            if folder.exists():
                folder.rename(Path(made) / "replaced")
            built.rename(folder)


def load(folder: Path) -> Recommender:
    """Read a folder written by `Recommender.save`."""
    return Recommender(**model_files.read(Path(folder)))


def _keep_rows(matrix: sparse.csr_matrix, keep: np.ndarray) -> sparse.csr_matrix:
    """The matrix with the rows where `keep` (u,) is False emptied; stored zeros of the others stay stored."""
    lengths = np.diff(matrix.indptr)
    held = np.repeat(keep, lengths)
    pointers = np.concatenate([[0], np.cumsum(lengths * keep)])
    return sparse.csr_matrix((matrix.data[held], matrix.indices[held], pointers), shape=matrix.shape)


def _table(users, items, scores, ranks, reasons, crossed=None) -> pa.Table:
    columns = {
        c.USER_ID: pa.array(users, pa.string()),
        c.ITEM_ID: pa.array(items, pa.string()),
        c.SCORE: pa.array(scores, pa.float32()),
        c.RANK: pa.array(ranks, pa.int32()),
        c.REASON: pa.array(reasons, pa.string()),
    }
    if crossed is not None:
        columns[c.CROSSED] = pa.array(crossed, pa.float32())
    return pa.table(columns)


__all__ = ["USER_COHORTS", "Member", "Recommender", "load"]
