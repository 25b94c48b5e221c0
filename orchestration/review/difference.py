"""Two registered versions of a target laid side by side, from what each left in MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration.resources.registry import Registry, RegistryError, model_name
from orchestration.review.champion_line import champion_line
from orchestration.review.changes import VersionFacts, changes, facts_of

if TYPE_CHECKING:
    from orchestration.pages import Section


def difference(registry: Registry, target: str, number: int, other: int | None = None) -> list[Section]:
    """What changed from version `other` to `number`.

    Without `other`: from the champion, or, for the champion itself, from the one before it.
    """
    registry.version(target, number)
    before = _champion_besides(registry, target, number) if other is None else other
    return changes(_facts(registry, target, before), _facts(registry, target, number))


def _champion_besides(registry: Registry, target: str, number: int) -> int:
    there = {int(version.version) for version in registry.versions(target)} - {number}
    line = [n for n in champion_line(registry.log.rows(model_name(target))) if n in there]
    if not line:
        raise RegistryError(
            f"{target} has no other champion to compare version {number} with; say which: --with VERSION"
        )
    return line[-1]


def _facts(registry: Registry, target: str, number: int) -> VersionFacts:
    version = registry.version(target, number)
    try:
        facts = facts_of(registry, version)
    except ValueError as error:
        raise RegistryError(f"{version.name} {number}: {error}") from error
    if facts is None:
        raise RegistryError(
            f"{version.name} {number} left no facts to compare: it is older than they are, or its run was "
            "deleted in MLflow; `landbridge review show` has its card"
        )
    return facts
