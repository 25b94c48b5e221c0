"""Targets to decide about, each with three versions that wait for a review and one that the gate refused.

All versions are of one model, which is logged once: what a version holds does not change how it is decided.
"""

import itertools

from registry_case import evidence

from orchestration.config import Home
from orchestration.resources.decisions import Decisions
from orchestration.resources.registry import Registry, model_name
from orchestration.resources.requests import Requests
from orchestration.resources.review_log import GATE

AS_OFS = ("2026-03-01", "2026-03-08", "2026-03-15", "2026-03-22")
REFUSED = 4
_NUMBERS = itertools.count(1)


class World:
    """A home with one logged model, from which each case gets a target of its own."""

    def __init__(self, home: Home) -> None:
        self.registry = Registry(home)
        self.logged = self.registry.register(evidence(home, "logged"))

    def case(self, two_people: bool = False) -> "Case":
        """A target whose versions 1 to 3 wait, the third as challenger; 4 did not pass the gate."""
        target = f"films{next(_NUMBERS)}"
        registry, logged = self.registry, self.logged
        registry.client.create_registered_model(model_name(target))
        for number, as_of in enumerate(AS_OFS, 1):
            judged = {"gate": "enabled", "validation_status": "failed"} if number == REFUSED else {}
            version = registry.client.create_model_version(
                model_name(target),
                logged.source,
                logged.run_id,
                description=logged.description,
                tags={**logged.tags, "as_of": as_of, **judged},
            )
            registry.promote(version, target, "manual")
        return Case(registry, target, two_people)


class Case:
    """One target, and what people do to its versions."""

    def __init__(self, registry: Registry, target: str, two_people: bool) -> None:
        self.registry, self.target, self.model = registry, target, model_name(target)
        self.decide = Decisions(registry, two_people)
        self.requests = Requests(self.decide)

    @property
    def champion(self) -> int | None:
        """The version that the alias is on."""
        return self.registry.aliases(self.target).get("champion")

    def approve(self, *numbers: int, by: str = "anna") -> str:
        """Approve versions one after another; what the last one gave."""
        return [self.decide.approve(self.target, number, by) for number in numbers][-1]

    def tags(self, number: int) -> dict[str, str]:
        """A version's tags as they are now."""
        return self.registry.version(self.target, number).tags

    def in_mlflow(self, number: int, **tags: str) -> None:
        """Set tags of a version as a person does in MLflow's UI."""
        for key, value in tags.items():
            self.registry.client.set_model_version_tag(self.model, str(number), key, value)

    def by_persons(self) -> list[tuple[int, str, str]]:
        """What registry_reviews holds of persons' decisions, oldest first."""
        rows = self.registry.log.rows(self.model)
        return [(row.version, row.decision, row.decided_by) for row in rows if row.decided_by != GATE]
