"""What a person decides about model versions, and what follows: approve, reject, roll back.

registry_reviews is the truth and is written first; the alias `champion` and the tags follow it, so that
whatever a kill, or a hand in MLflow, left behind is put right by the next decision or by the sensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestration.resources.registry import CHALLENGER, CHAMPION, Registry, RegistryError, model_name
from orchestration.resources.review_log import (
    APPROVED,
    APPROVED_ONCE,
    OVERRULED,
    REJECTED,
    ROLLED_BACK,
    Decision,
)
from orchestration.review.champion_line import (
    by_persons,
    champion_line,
    latest,
    registered_tags,
    standing,
    was_champion,
)
from orchestration.review.gating import is_refused
from orchestration.review.provenance import edited_tags, edits_in_words, foreign_evidence

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

IN_MLFLOW = "MLflow UI"  # who decided, where the tag `reviewed_by` does not say
_REQUESTS = {"approve": APPROVED, "approved": APPROVED, "reject": REJECTED, "rejected": REJECTED}
_OUR_WORDS = ("", "none", "pending", "promoted", "replaced", "refused", "superseded", APPROVED_ONCE)
BY_HAND = "the alias champion was set by hand and is taken back: set the tag review to approved instead"


def request(version: ModelVersion) -> str | None:
    """What the tag `review` asks for and is not carried out yet: approved, rejected, or a word that means
    nothing. None where nobody asked for anything.
    """
    word = version.tags.get("review", "").strip().casefold()
    asked = _REQUESTS.get(word, word)
    return None if word in _OUR_WORDS or asked == version.tags.get("review_recorded") else asked


def _named(by: str) -> str:
    if not by.strip():
        raise RegistryError("a decision needs a name: say who decides with --by NAME")
    return by.strip()


class Decisions:
    """Decisions about the versions of a registry. Each returns what was done, as a sentence, or raises
    RegistryError, which says why nothing was.

    two_people: whether a second person must approve a version that never was champion.
    """

    def __init__(self, registry: Registry, two_people: bool = False) -> None:
        self.registry = registry
        self.two_people = two_people

    def approve(self, target: str, number: int, by: str, note: str = "") -> str:
        """Make a version champion, or be the first of two who approve it."""
        by, (version, rows) = _named(by), self._checked(target, number)
        if champion_line(rows)[-1:] == [number] and standing(rows, number) == APPROVED:
            return self._again(target, version, rows)
        # Who was champion before has passed and was approved then: a gate that is stricter now, or a
        # colleague who sleeps, shall not keep users from getting it back.
        known = was_champion(rows, number)
        if is_refused(version) and not known:
            raise RegistryError(self._refusal(target, version))
        self._check_evidence(version, with_verdict=not known)
        if self.two_people and not known and self._is_first(version, latest(rows, number), by):
            self._record(version, APPROVED_ONCE, by, note)
            self._tidy(target, version, by)
            return f"{target}: version {number} is approved by {by}; a second person must approve it too"
        self._record(version, APPROVED, by, note)
        self._crown(target, version, by)
        return f"{target}: version {number} is the champion, approved by {by}"

    def reject(self, target: str, number: int, by: str, note: str = "") -> str:
        """Turn a version down; the champion cannot be rejected, only replaced."""
        by, (version, rows) = _named(by), self._checked(target, number)
        if number in (self._champion(target), *champion_line(rows)[-1:]):
            raise RegistryError(
                f"{version.name} {number} is the champion: approve another version instead, or go back with "
                f"`landbridge review rollback {target}`"
            )
        if standing(rows, number) == REJECTED:
            return self._again(target, version, rows)
        self._record(version, REJECTED, by, note)
        self._tidy(target, version, by)
        return f"{target}: version {number} is rejected by {by}"

    def rollback(self, target: str, by: str, note: str = "", to: int | None = None) -> str:
        """Go back to the champion before the present one, or to the earlier champion `to`."""
        by, rows, now = _named(by), self.registry.log.rows(model_name(target)), self._champion(target)
        line = [number for number in champion_line(rows) if number in self.numbers(target)]
        if to is None and line and now is not None and now != line[-1]:
            if not was_champion(rows, now):  # a kill would have left one that was
                self.registry.record(
                    self.registry.version(target, now), by, OVERRULED, f"{BY_HAND}; {note}".rstrip("; ")
                )
            return self.follow(target, line[-1])
        number = self._before(target, line, now) if to is None else self._earlier(target, rows, now, to)
        version, _ = self._checked(target, number)
        self._check_evidence(version, with_verdict=False)
        self._record(version, ROLLED_BACK, by, note)
        self._crown(target, version, by)
        left = "the champion that was deleted" if now is None else f"version {now}"
        return f"{target}: version {number} is the champion again, in place of {left}; rolled back by {by}"

    def follow(self, target: str, number: int) -> str:
        """Make MLflow say what registry_reviews says: that a version is champion."""
        now, version = self._champion(target), self.registry.version(target, number)
        rows = self.registry.log.rows(version.name)
        row = latest(rows, number)
        self._crown(target, version, row.decided_by if row else "")
        was = ""
        if now != number:
            was = f"; the alias was {'on nothing' if now is None else f'on version {now}'}"
        if now is not None and not was_champion(rows, now):
            self.set_back(self.registry.version(target, now), BY_HAND)
        return f"{target}: version {number} is the champion by the last decision recorded{was}"

    def overrule(self, version: ModelVersion, because: str) -> None:
        """Record that a request made in MLflow is not carried out, and set it back."""
        who = version.tags.get("reviewed_by") or IN_MLFLOW
        self.registry.record(version, who, OVERRULED, f"{request(version)}, asked for in MLflow; {because}")
        self.set_back(version, because)

    def set_back(self, version: ModelVersion, problem: str) -> None:
        """Give the tag `review` the word that stands and say in `review_problem` why."""
        word = standing(self.registry.log.rows(version.name), int(version.version))
        self.registry.tag(version, review_problem=problem, review=word, review_recorded=word)

    def numbers(self, target: str) -> set[int]:
        """The versions that a target has."""
        return {int(version.version) for version in self.registry.versions(target)}

    # Checks

    def _champion(self, target: str) -> int | None:
        return self.registry.aliases(target).get(CHAMPION)

    def _checked(self, target: str, number: int) -> tuple[ModelVersion, Sequence[Decision]]:
        """A version whose tags say what they said at registration, and the decisions about its model."""
        version = self.registry.version(target, number)
        rows = self.registry.log.rows(version.name)
        recorded = registered_tags(rows, number)
        if recorded is None:
            raise RegistryError(
                f"registry_reviews does not know {version.name} {number}, so nothing tells what it is: "
                "materialise model_version of its as-of again, which records it"
            )
        if edited := edited_tags(version, recorded):
            self.registry.tag(version, **edited)
            raise RegistryError(
                f"tags of {version.name} {number} were edited after it was registered and are set back: "
                f"{edits_in_words(version, edited)}; read its card again, then decide again"
            )
        return version, rows

    def _refusal(self, target: str, version: ModelVersion) -> str:
        verdict = self.registry.verdict(version)
        failed = (
            [condition.words for condition in verdict.conditions if not condition.passed] if verdict else []
        )
        said = [
            f"{version.name} {version.version} did not pass the gate, so it cannot be approved.",
            *failed,
            "What to do: train a version that passes, or change promotion.gate in the configuration and "
            f"materialise model_version of {version.tags['as_of']}|{target} again",
        ]
        return " ".join(said)

    def _check_evidence(self, version: ModelVersion, with_verdict: bool) -> None:
        if problem := foreign_evidence(self.registry, version, with_verdict):
            raise RegistryError(f"{version.name} {version.version} cannot be champion: {problem}")

    def _is_first(self, version: ModelVersion, last: Decision | None, by: str) -> bool:
        """Whether this is the first approval of two; RegistryError where the same person gives both."""
        if last is None or last.decision != APPROVED_ONCE:
            return True
        if last.decided_by.strip().casefold() == by.strip().casefold():
            raise RegistryError(
                f"{last.decided_by} approved {version.name} {version.version} already: another person must "
                "(with their --by, or in MLflow first reviewed_by = their name, then review = approved)"
            )
        return False

    def _before(self, target: str, line: Sequence[int], now: int | None) -> int:
        found = [number for number in line if number != now]
        if not found:
            raise RegistryError(
                f"{model_name(target)} has no earlier champion to go back to; `landbridge review approve "
                f"{target} VERSION` makes another version champion"
            )
        return found[-1]

    def _earlier(self, target: str, rows: Sequence[Decision], now: int | None, to: int) -> int:
        self.registry.version(target, to)
        if to == now:
            raise RegistryError(f"{model_name(target)} {to} is the champion now: there is nothing to undo")
        if not was_champion(rows, to):
            raise RegistryError(
                f"{model_name(target)} {to} was never champion, so this is no rollback: `landbridge review "
                f"approve {target} {to}`"
            )
        return to

    # Effects

    def _again(self, target: str, version: ModelVersion, rows: Sequence[Decision]) -> str:
        """A decision that stands already: no second row, but what a kill left undone is done."""
        number = int(version.version)
        row = latest(rows, number)
        assert row is not None  # it stands
        if row.decision == REJECTED:
            self._tidy(target, version, row.decided_by)
        else:
            self._crown(target, version, row.decided_by)
        when = row.decided_at.strftime("%Y-%m-%d %H:%M UTC")
        return f"{target}: version {number} was {row.decision} by {row.decided_by} on {when} already"

    def _record(self, version: ModelVersion, decision: str, by: str, note: str) -> None:
        """A row for the decision, after one for the request in MLflow that it overrules."""
        asked, means = request(version), REJECTED if decision == REJECTED else APPROVED
        if asked not in (None, means):
            self.overrule(version, f"{by} decided before it was carried out: {decision}")
        self.registry.record(version, by, decision, note)

    def _crown(self, target: str, version: ModelVersion, by: str) -> None:
        self.registry.crown(target, version)
        self._tidy(target, version, by)

    def _tidy(self, target: str, version: ModelVersion, by: str) -> None:
        """Make the tags and the alias `challenger` of a version say what registry_reviews says."""
        number = int(version.version)
        rows = self.registry.log.rows(version.name)
        word = standing(rows, number)
        if word != APPROVED_ONCE and self.registry.aliases(target).get(CHALLENGER) == number:
            self.registry.client.delete_registered_model_alias(version.name, CHALLENGER)
        self.registry.client.delete_model_version_tag(version.name, version.version, "review_problem")
        # Last: until this tag is set, the sensor sees a decision that is not carried out.
        self.registry.tag(
            version,
            review=word,
            reviewed_by=by,
            decisions=str(by_persons(rows, number)),
            review_recorded=word,
        )
