"""What a mapper is trained towards: the target's factors, the users of both domains, the clouds of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
import torch
from scipy import sparse

from ml.bridge.contract import Task
from ml.bridge.histories import Histories, histories
from ml.bridge.scorers.alignment_losses import KINDS, alignment
from ml.bridge.scorers.networks import Descent, Parameters, descend, hold_out
from ml.data import Interactions
from ml.device import pick_device
from ml.factorize.als import WeightedALS

Mapped = Callable[[torch.Tensor], torch.Tensor]  # rows of source users (r,) -> (r, f)
Error = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # mapped (r, f), rows of pairs (r,) -> (r,)
# All source users' histories, the width of the target's factors -> the map of rows, and what is trained.
Start = Callable[[Histories, int, torch.Generator], tuple[Mapped, Parameters]]
OBJECTIVES = ("factors", "interactions")


@dataclass(frozen=True)
class TargetSpace:
    """The target's weighted factorisation, in units of its users' RMS norm.

    users: (b,) positions of those with a target history. vectors: (b, f) their factors, of RMS norm 1.
    items: (n, f) times the norm, so that vector . item is the factorisation's score.
    """

    users: np.ndarray
    vectors: torch.Tensor
    items: np.ndarray

    @classmethod
    def of(cls, task: Task, als: Mapping[str, Any]) -> Self:
        """Factorise the target's log, once for all mappers that ask for the same factors."""
        log = task.interactions[task.target]
        model = WeightedALS(**als, seed=task.seed, device=task.device)
        users = np.flatnonzero(log.counts() > 0)
        found = task.remember(log, model, lambda: model.fit(log.matrix()[users]))
        norm = max(float(np.sqrt(np.square(found.users).sum() / max(len(users), 1))), 1e-12)
        vectors = torch.from_numpy(found.users / np.float32(norm)).to(pick_device(task.device))
        return cls(users, vectors, found.items * np.float32(norm))


@dataclass(frozen=True)
class Pairs:
    """The users of both domains. sources: (p,) their rows among the source users. targets: (p, f) their
    factors. observed: (p, n) their target interactions."""

    sources: torch.Tensor
    targets: torch.Tensor
    observed: sparse.csr_matrix

    @classmethod
    def of(cls, source_users: np.ndarray, space: TargetSpace, log: Interactions) -> Self:
        """Those of `source_users` (positions, sorted) with a target history."""
        users, source, target = np.intersect1d(source_users, space.users, return_indices=True)
        vectors = space.vectors[torch.from_numpy(target).to(space.vectors.device)]
        return cls(torch.from_numpy(source), vectors, log.matrix()[users])

    def __len__(self) -> int:
        return len(self.sources)


def factor_error(pairs: Pairs) -> Error:
    """Squared distance to the users' own factors, which EMCDR minimises: (r,) of mapped (r, f) and rows."""
    return lambda mapped, rows: (mapped - pairs.targets[rows.to(mapped.device)]).square().sum(dim=1)


def interaction_error(pairs: Pairs, space: TargetSpace, alpha: float) -> Error:
    """The factorisation's own loss of each user, the item factors fixed, over the root of its evidence.

    What Zhu et al. 2022 call task-oriented: the user's factor of few events is a poor thing to aim at, the
    events are not. sum_i w (t - m.y_i)^2 over all items costs m G m' and a correction where there is an
    event. A user's evidence is the sum of the weights w = 1 + alpha * value of the events; without the root
    those of many events would decide alone, and nobody serves them from a map.
    """
    items = torch.from_numpy(space.items).to(pairs.targets.device)
    gram = items.T @ items

    def error(mapped: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        events = pairs.observed[rows.numpy()]
        of = torch.from_numpy(np.repeat(np.arange(len(rows)), np.diff(events.indptr))).to(items.device)
        which = torch.from_numpy(events.indices.astype(np.int64)).to(items.device)
        weights = torch.from_numpy((1 + alpha * events.data).astype(np.float32)).to(items.device)
        # index_select: on several threads the gradient of mapped[of] adds up in any order.
        scores = (mapped.index_select(0, of) * items[which]).sum(dim=1)
        none = torch.zeros(len(rows), device=items.device)
        evidence = none.index_add(0, of, weights)
        corrections = none.index_add(0, of, weights * (1 - scores).square() - scores.square())
        return (((mapped @ gram) * mapped).sum(dim=1) + corrections) / evidence.sqrt()

    return error


@dataclass(frozen=True)
class MapTraining:
    """How a map into the target's space is learned.

    als: settings of the target's weighted factorisation. objective: "factors" or "interactions", see the
    errors above. alignment: one of alignment_losses.KINDS, times `alignment_weight`.
    """

    als: Mapping[str, Any]
    objective: Literal["factors", "interactions"] = "interactions"
    alignment: str = "none"
    alignment_weight: float = 1.0
    descent: Descent = field(default_factory=Descent)

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective {self.objective!r}: expected one of {', '.join(OBJECTIVES)}")
        if self.alignment not in KINDS:
            raise ValueError(f"alignment {self.alignment!r}: expected one of {', '.join(KINDS)}")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """From what `dataclasses.asdict` says of one, or less."""
        return cls(**{**settings, "descent": Descent(**settings.get("descent", {}))})

    def fit(self, task: Task, domains: Sequence[str], start: Start) -> np.ndarray:
        """Train what `start` makes; returns the (n, f) item factors that a mapped user is scored against.

        All users known in `domains` take part in the alignment, those known in the target as well teach.
        """
        log, space = task.interactions[task.target], TargetSpace.of(task, self.als)
        read = {d: task.interactions[d] for d in domains}
        users = np.flatnonzero(np.sum([source.counts() for source in read.values()], axis=0) > 0)
        pairs = Pairs.of(users, space, log)
        if not len(pairs):
            # Nothing teaches: every item of length 0, so that the scorer says nothing.
            space = replace(space, items=np.zeros_like(space.items))
        generator = torch.Generator().manual_seed(task.seed)
        mapped, parameters = start(histories(read, users), space.items.shape[1], generator)
        self.descend(mapped, parameters, pairs, len(users), space, generator)
        return space.items

    def descend(
        self,
        mapped: Mapped,
        parameters: Parameters,
        pairs: Pairs,
        users: int,
        space: TargetSpace,
        generator: torch.Generator,
    ) -> None:
        """Train `parameters` of a map of rows of `users` source users."""
        align, own = self._alignment(mapped, users, space, generator)
        if self.objective == "factors":
            error = factor_error(pairs)
        else:
            error = interaction_error(pairs, space, self.als.get("alpha", WeightedALS.alpha))

        def mean_error(rows: torch.Tensor) -> torch.Tensor:
            return error(mapped(pairs.sources[rows]), rows).mean()

        def loss(rows: torch.Tensor) -> torch.Tensor:
            return mean_error(rows) if align is None else mean_error(rows) + align()

        # Held-out pairs say when to stop, by their error alone: alignment is a means.
        learn, held = hold_out(len(pairs), generator)
        descend([*parameters, *own], loss, lambda: mean_error(held), learn, self.descent, generator)

    def _alignment(
        self, mapped: Mapped, users: int, space: TargetSpace, generator: torch.Generator
    ) -> tuple[Callable[[], torch.Tensor] | None, Parameters]:
        loss, own = alignment(self.alignment, space.vectors, generator)
        if loss is None or not users:
            return None, []

        def align() -> torch.Tensor:
            anyone = torch.randint(users, (self.descent.batch,), generator=generator)
            others = torch.randint(len(space.vectors), (self.descent.batch,), generator=generator)
            vectors = space.vectors[others.to(space.vectors.device)]
            return self.alignment_weight * loss(mapped(anyone), vectors)

        return align, own
