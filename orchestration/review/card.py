"""The review card: one page that says whether a version is better, for whom, and how sure that is.

Pure functions from figures to text: one list of sections, written as self-contained HTML (an artifact of the
version's run), as markdown, and, short enough for MLflow, as the version's description.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestration.pages import Section, html_page, markdown_page, markdown_section
from orchestration.review import card_parts as parts
from orchestration.review.beyond_tables import price_line
from orchestration.review.certainty import certain_side, certainty_lines
from orchestration.review.changes import DomainFacts
from orchestration.review.cohort_tables import CHAMPION, COHORTS, COLD_ITEMS, NEW_USERS

if TYPE_CHECKING:
    from ml.metrics.gate import Condition
    from ml.metrics.peers import PeerLift
    from ml.metrics.report import BeyondRow, CohortRow, LiftRow, PriceRow

FEW_USERS = 100  # below this a mean is too wide to tell a usual lift from none
# What the gate asks, as a headline names it; the sentences are in the gate's own section.
ASKED = {
    "over_twin": "the comparison with the next simpler candidate",
    "over_champion": "the comparison with today's champion",
    "no_cohort_worse": "a cohort is certainly worse off",
    "coverage": "coverage of the catalogue",
    "latency": "time that a list takes",
    "clean_process": "it does not run on its own",
}
LONGEST_DESCRIPTION = 5000  # characters: what MLflow's database takes
WHOLE_CARD = (
    "The whole card, with sampled users, is the artifact review_card.html of this version's source run."
)


@dataclass(frozen=True)
class UserWords:
    """What a sampled user takes up in one domain, in words; `cohort` is the user's in the target."""

    user: str
    cohort: str
    domain: str
    keywords: Sequence[str]


@dataclass(frozen=True)
class Card:
    """Everything the review card shows. `rows`, `lifts`, `comparisons`, `beyond` and `price` are those of
    `ml.metrics.report.Report`; `peers` the bridge's lifts over the best peers (`ml.metrics.peers`);
    re_ranking what lists are re-ranked by, in words. conditions, gate: what the gate held the version to, and
    its mode, empty before it was asked. Sections that others make: `changed` since the champion, sampled
    `users` and `new_items`, `transfer`, `explained`, and what users took of earlier versions (`observed`).
    """

    target: str
    as_of: str
    k: int
    serve: str
    passed: bool
    reasons: Sequence[str]
    rows: Sequence[CohortRow]
    lifts: Sequence[LiftRow]
    domains: Mapping[str, DomainFacts]
    sources: Sequence[str]
    encoder: str
    data_digest: str
    profiles: Sequence[UserWords] = ()
    peers: Sequence[PeerLift] = ()
    beyond: Sequence[BeyondRow] = ()
    price: Sequence[PriceRow] = ()
    re_ranking: str = ""
    transfer: Sequence[Section] = ()
    explained: Sequence[Section] = ()
    conditions: Sequence[Condition] = ()
    gate: str = ""
    comparisons: Sequence[LiftRow] = ()
    protocols: Sequence[str] = ()
    changed: Sequence[Section] = ()
    users: Sequence[Section] = ()
    new_items: Sequence[Section] = ()
    observed: Sequence[Section] = ()

    @property
    def served_lifts(self) -> list[LiftRow]:
        """The paired differences of what is served over everything it is compared with."""
        return [lift for lift in (*self.lifts, *self.comparisons) if lift.of == self.serve]


def verdict(card: Card) -> str:
    """The card's first lines: what users of the target would get, the evidence, and what the gate says."""
    what, evidence = _served(card)
    if failed := _stopped_by(card):
        begin = f"Refused by the gate ({'; '.join(failed)}). It would serve {what}"
    else:
        begin = f"Serve {what}"
    return " ".join(filter(None, [f"{begin}: {evidence}.", _over_champion(card), _gate(card)]))


def _served(card: Card) -> tuple[str, str]:
    """What would be served, and why that."""
    simpler = {"bridge": "twin", "twin": "popularity"}.get(card.serve)
    measured = [
        r for r in card.served_lifts if r.metric == "recall" and r.over == simpler and r.cohort in COHORTS
    ]
    best = max(measured, key=lambda lift: lift.low, default=None)
    if card.serve == "popularity":
        return "popularity", "neither the bridge nor its twin is certainly better than the most popular items"
    if card.serve == "bridge" and best is not None:
        return "the bridge", (
            f"recall@{card.k} of {_users(best.cohort)} is {best.mean:+.4f} against its "
            f"twin (95 % interval {best.low:+.4f} to {best.high:+.4f}, {best.users:,} users)"
        )
    gain = f" (recall@{card.k} of {_users(best.cohort)} {best.mean:+.4f})" if best else ""
    return "the twin", f"knowledge from other domains brought no certain gain, the own history did{gain}"


def _over_champion(card: Card) -> str:
    """Whether it is better than what users get today, over all users; empty where nothing was compared."""
    compared = [r for r in card.served_lifts if (r.over, r.metric) == (CHAMPION, "recall") and r.users]
    worse = [_users(r.cohort) for r in compared if r.cohort in COHORTS[:3] and certain_side(r) < 0]
    for lift in compared:
        if lift.cohort == "all":
            said = {1: "Certainly better than", 0: "No certain difference from", -1: "Certainly worse than"}
            but = f"; certainly worse for {' and '.join(worse)}" if worse else ""
            return (
                f"{said[certain_side(lift)]} today's champion: recall {lift.mean:+.4f} over all users (95 % "
                f"interval {lift.low:+.4f} to {lift.high:+.4f}){but}."
            )
    return ""


def _failed(card: Card) -> list[str]:
    """The gate's conditions that do not hold, in words."""
    failed = [condition.name for condition in card.conditions if not condition.passed]
    return [ASKED.get(name, name.replace("_", " ")) for name in failed]


def _stopped_by(card: Card) -> list[str]:
    """The conditions that keep the version from users: none where the gate stops nobody."""
    return [] if card.gate in ("dry_run", "disabled") else _failed(card)


def _gate(card: Card) -> str:
    if card.gate == "disabled" or not card.conditions:
        return "The gate is disabled." if card.gate == "disabled" else ""
    failed = "; ".join(_failed(card))
    if card.gate == "dry_run":
        return f"Gate on a dry run, would refuse it: {failed}." if failed else "Gate on a dry run."
    return "" if failed else "It passed the gate."


def _users(cohort: str) -> str:
    return "all users" if cohort == "all" else f"{cohort} users"


def known_limits(card: Card) -> list[str]:
    """What the figures cannot support, in sentences; empty only where there is nothing to warn of."""
    users = {row.cohort: row.users for row in card.rows if row.metric == "recall"}
    limits = [
        f"No {cohort} user could be measured: nothing is known of them."
        for cohort in COHORTS[:3]
        if not users.get(cohort)
    ]
    unsettled = certainty_lines([r for r in card.served_lifts if r.cohort in COHORTS], card.rows)
    unsettled = [line for line in unsettled if "too few users" in line or "though only" in line]
    limits += unsettled
    limits += [
        f"Only {users[cohort]:,} {cohort} users were measured: their means say little."
        for cohort in COHORTS[:3]
        if 0 < users.get(cohort, 0) < FEW_USERS and not any(cohort in line for line in unsettled)
    ]
    limits += _few_elsewhere(card)
    for name, facts in card.domains.items():
        share = facts.items_without_text / facts.items if facts.items else 0
        if share > 0.1:
            limits.append(
                f"{share:.0%} of the items of {name} have no text; text cannot carry knowledge to them."
            )
    if costs := price_line(card.price, card.serve):
        limits.append(costs)
    if not card.sources:
        limits.append("No source domain: the bridge has nothing to carry over and equals its twin.")
    return limits


def _few_elsewhere(card: Card) -> list[str]:
    """One line for the cohorts with tables of their own, new users and cold items, that few users are in."""
    named = {cohort: f"new users after {words}" for cohort, words in NEW_USERS.items()}
    named[COLD_ITEMS] = "cold items"
    found = [
        f"{named[r.cohort]} {r.mean:.4f} ({r.users:,} user{'s' * (r.users > 1)})"
        for r in card.rows
        if (r.candidate, r.metric) == (card.serve, "recall") and 0 < r.users < FEW_USERS and r.cohort in named
    ]
    return [f"Recall that rests on few users: {', '.join(found)}."] if found else []


def sections(card: Card) -> list[Section]:
    """The page in reading order; all that does not fit a first look is closed behind its title."""
    return [
        parts.gate(card),
        parts.recall_picture(card),
        *parts.certainty(card),
        *parts.folded("What changed since the champion", card.changed),
        *card.users,
        *card.new_items,
        *parts.folded("Figures by cohort", parts.figures(card)),
        *parts.folded("Which source helps", card.transfer),
        *parts.folded("What crossed, and why items are listed", card.explained),
        *parts.folded("What the lists are like", parts.beyond(card)),
        *parts.folded("New users and cold items", [*parts.new_users(card), *parts.cold_items(card)]),
        *parts.folded(f"Peers: recall@{card.k}", parts.peers(card)),
        *parts.folded("Sampled users in words", parts.profiles(card)),
        *parts.folded("What users took of earlier lists", card.observed),
        *parts.folded("Data and how it was measured", [parts.data(card)]),
        _limits(card),
    ]


def _limits(card: Card) -> Section:
    return Section("Known limits", known_limits(card) or ["None that the figures show."])


def _plain_sections(card: Card) -> list[Section]:
    """What the markdown holds: no picture, and no list of a user."""
    further = (parts.new_users, parts.cold_items, parts.peers, parts.beyond)
    measured = [section for make in further for section in make(card)]
    made = [*card.changed, *card.observed, *card.transfer, *card.explained, *parts.profiles(card)]
    names = Section("What the names mean", parts.glossary(card))
    shown = [parts.gate(card), names, *parts.figures(card), *parts.certainty(card), *measured, *made]
    return [*shown, parts.data(card), _limits(card)]


def html(card: Card) -> str:
    """The card as one HTML file."""
    look = f"{card.serve} refused" if _stopped_by(card) else card.serve
    return html_page(f"{card.target} as of {card.as_of}", verdict(card), look, sections(card))


def markdown(card: Card) -> str:
    """The card as GitHub-flavoured markdown."""
    return markdown_page(verdict(card), _plain_sections(card))


def description(card: Card) -> str:
    """The card's beginning in markdown, as much as a version's description in MLflow may hold.

    The first line is plain: lists of versions show it raw. What does not fit is left out whole; a last line
    says where everything is.
    """
    recall = replace(parts.figures(card)[0], lines=parts.glossary(card))
    further = [*card.changed, *parts.peers(card), *parts.profiles(card)]
    # The protocols by name: their definitions would take the room of what changed.
    names = ", ".join(words.partition(".")[0] for words in card.protocols)
    short = replace(card, protocols=[f"measured by: {names}"] if names else [])
    wanted = [parts.gate(card), recall, _limits(card), parts.data(short), *further]
    end = f"\n\n{WHOLE_CARD}\n"
    text = verdict(card)
    for part in map(markdown_section, wanted):
        if len(text) + 2 + len(part) + len(end) <= LONGEST_DESCRIPTION:
            text += f"\n\n{part}"
    return text[: LONGEST_DESCRIPTION - len(end)] + end
