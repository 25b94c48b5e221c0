"""Decisions that somebody asked for in MLflow, by a version's tag `review`, carried out one after another.

MLflow keeps neither when a tag was set nor by whom. So `reviewed_by` is what the reviewer says, and requests
that are found together are carried out in a fixed order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestration.resources.decisions import BY_HAND, IN_MLFLOW, Decisions, request
from orchestration.resources.registry import CHAMPION, RegistryError, model_name
from orchestration.resources.review_log import APPROVED, REJECTED
from orchestration.review.champion_line import IN_OFFICE, champion_line

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from orchestration.resources.registry import Registry


class Requests:
    """What waits in MLflow, and its carrying out by the rules of `decisions`."""

    def __init__(self, decisions: Decisions) -> None:
        self.decisions = decisions
        self.registry = decisions.registry

    def waiting(self, target: str) -> list[ModelVersion]:
        """Versions with a request, those with older data first: of two approvals found together, the version
        with the newest data ends as champion.
        """
        found = [version for version in self.registry.versions(target) if request(version)]
        return sorted(found, key=lambda version: (version.tags.get("as_of", ""), int(version.version)))

    def carry_out(self, target: str, version: ModelVersion) -> str:
        """Do what a version's tag asks, or set it back and say why in `review_problem`."""
        number, asked = int(version.version), request(version)
        try:
            act = self._act(version, asked)
            return act(target, number, version.tags.get("reviewed_by", "").strip() or IN_MLFLOW, "in MLflow")
        except RegistryError as error:
            if number not in self.decisions.numbers(target):
                return f"{target}: version {number} was deleted in MLflow before it could be {asked}"
            self.decisions.set_back(version, str(error))
            return f"{target}: version {number} was not {asked}, the tag was set back: {error}"

    def _act(self, version: ModelVersion, asked: str | None) -> Callable[[str, int, str, str], str]:
        if asked not in (APPROVED, REJECTED):
            raise RegistryError(f"the tag review says {asked!r}; what it can say is approved or rejected")
        if self.decisions.two_people and not version.tags.get("reviewed_by", "").strip():
            raise RegistryError(
                "two people must approve: first reviewed_by = your name, then review = approved"
            )
        return self.decisions.approve if asked == APPROVED else self.decisions.reject

    def carry_out_others(self, target: str, number: int) -> list[str]:
        """Carry out what waits about other versions, which was asked for before a decision about this one."""
        return [self.carry_out(target, v) for v in self.waiting(target) if int(v.version) != number]

    def overrule_all(self, target: str, because: str) -> list[str]:
        """Set back what waits: a rollback must not end in what was asked for before it."""
        found = self.waiting(target)
        for version in found:
            self.decisions.overrule(version, because)
        return [f"{target}: version {v.version} was not {request(v)}: {because}" for v in found]

    def settle(self, target: str, follows_log: bool = True) -> list[str]:
        """Put right the alias, then carry out what waits; says what was done.

        follows_log: whether the alias is only moved by decisions (not with promotion mode off).
        """
        put_right = self._put_right(target) if follows_log else []
        return [*put_right, *(self.carry_out(target, version) for version in self.waiting(target))]

    def _put_right(self, target: str) -> list[str]:
        line = champion_line(self.registry.log.rows(model_name(target)))
        champion = self.registry.champion(target)
        if not line:
            return [self._uncrown(target, champion)] if champion else []
        if line[-1] not in self.decisions.numbers(target):
            return []  # it was deleted: who comes next is for a person to say
        if champion is None or int(champion.version) != line[-1] or is_astray(champion):
            return [self.decisions.follow(target, line[-1])]
        return []

    def _uncrown(self, target: str, version: ModelVersion) -> str:
        """Take back an alias that was set by hand before anybody decided anything."""
        self.registry.client.delete_registered_model_alias(version.name, CHAMPION)
        self.registry.tag(version, review_problem=BY_HAND)
        return f"{target}: version {version.version}: {BY_HAND}"


def is_astray(champion: ModelVersion) -> bool:
    """Whether a champion's own tags tell that no decision made it champion, or that a kill cut one short."""
    return request(champion) is None and champion.tags.get("review") not in IN_OFFICE


def anything_to_do(registry: Registry, target: str, follows_log: bool) -> list[str]:
    """What a look at MLflow alone shows to be done for a target: a name for each thing; [] is the usual."""
    asked = (version for version in registry.versions(target) if request(version))
    found = [f"{v.version}-{request(v)}-{v.tags.get('decisions', 0)}" for v in asked]
    champion = registry.champion(target) if follows_log else None
    if champion is not None and is_astray(champion):
        found.append(f"{champion.version}-alias")
    return [f"{target}-{name}" for name in sorted(found)]
