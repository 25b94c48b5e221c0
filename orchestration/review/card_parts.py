"""The sections of the review card from its figures; an empty list where there is nothing to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestration.pages import Section, Table
from orchestration.review.beyond_tables import beyond_rows, meaning, price_rows
from orchestration.review.certainty import certainty_section
from orchestration.review.cohort_tables import (
    CANDIDATES,
    CHAMPION,
    COHORTS,
    COLD_ITEMS,
    METRICS,
    NEW_USERS,
    lift_panels,
    metric_table,
    peer_table,
    recall_panels,
)
from orchestration.review.interval_bars import interval_bars
from orchestration.review.peers import BEST, standing

if TYPE_CHECKING:
    from orchestration.review.card import Card
    from orchestration.review.changes import DomainFacts


def folded(title: str, sections: Sequence[Section]) -> list[Section]:
    """Sections closed behind one title; one that is alone behind its own."""
    if len(sections) == 1:
        return [replace(sections[0], folded=True)]
    return [Section(title, parts=sections, folded=True)] if sections else []


def gate(card: Card) -> Section:
    """What the gate held the version to, failures first, and why this candidate is served."""
    ordered = sorted(card.conditions, key=lambda condition: condition.passed)
    lines = [f"{'✓' if held.passed else '✗ failed:'} {held.words}" for held in ordered]
    said = {"dry_run": " (dry run: stops nobody)", "disabled": " disabled"}.get(card.gate, "")
    outcome = "" if card.gate == "disabled" else " passed" if card.passed else " not passed"
    return Section(f"Gate:{outcome}{said}", [*lines, *card.reasons])


def glossary(card: Card) -> list[str]:
    """What the names on the card mean, in as few lines as there are names on it."""
    measured = {row.candidate for row in card.rows}
    lines = [
        "bridge: learns from other domains too; twin: the same model without them; popularity: what most "
        "people take"
    ]
    if CHAMPION in measured:
        lines.append("champion: the recipe of what users get today, fitted again on this data")
    if card.peers:
        lines.append(
            "best peer: the best of the known methods (such as ALS or EASE) for a cohort, never served; "
            "(union): of all domains at once"
        )
    return lines


def recall_picture(card: Card) -> Section:
    """Recall by cohort, and beside it the differences that decide, both with their intervals."""
    means, differences = (
        recall_panels(card.rows, card.peers, card.serve),
        lift_panels(card.served_lifts, card.serve),
    )
    bars = "bars: 95 % intervals over users; in bold what would be served, or all users together"
    lines = [*glossary(card), bars]
    if differences:
        lines.append(
            "differences are paired by user: filled is certain beside the other cohorts, hollow is not; "
            "intervals of two means may overlap where their difference is certain"
        )
    return Section(f"Recall@{card.k} by cohort", lines, picture=interval_bars(means, differences))


def certainty(card: Card) -> list[Section]:
    """What each difference of the served candidate proves, or that there were too few users."""
    lifts = [lift for lift in card.served_lifts if lift.cohort in COHORTS]
    found = certainty_section(lifts, card.rows)
    return [found] if found else []


def figures(card: Card) -> list[Section]:
    """Every metric by cohort and candidate."""
    return [
        Section(
            f"{metric}@{card.k} by cohort",
            (),
            metric_table(card.rows, card.lifts, metric, comparisons=card.served_lifts),
        )
        for metric in METRICS
    ]


def new_users(card: Card) -> list[Section]:
    """What the first events of a new user change; or nothing where no test user has more than one."""
    table = metric_table(card.rows, card.lifts, "recall", tuple(NEW_USERS), card.served_lifts)
    lines = (
        "the cold test users again, with their first events in the target; the truth is what came after",
        "the models are those that had not seen these users: a new event counts without a retrain",
    )
    title = f"New users: recall@{card.k} after their first events"
    return [Section(title, lines, table)] if table.rows else []


def cold_items(card: Card) -> list[Section]:
    """Whether items that nobody has touched yet find the right users; or nothing where there were too few."""
    table = metric_table(card.rows, card.lifts, "recall", (COLD_ITEMS,), card.served_lifts)
    lines = (
        "users who took items with text that nobody had touched before, and such items ranked alone",
        "popularity cannot tell them apart and lists them by id, which may be better or worse than chance",
    )
    return [Section(f"Cold items: recall@{card.k}", lines, table)] if table.rows else []


def peers(card: Card) -> list[Section]:
    """The bridge beside the classical peers; or nothing where none was measured."""
    if not card.peers:
        return []
    lines = (
        f"{BEST} the best peer of a cohort, on the users it is compared on: the choice favours the peers",
        *(standing(lift) for lift in card.peers),
    )
    return [Section(f"Peers: recall@{card.k}", lines, peer_table(card.rows, card.peers))]


def beyond(card: Card) -> list[Section]:
    """What lists are like beside their hits, and what re-ranking costs and brings; or nothing."""
    found = []
    if card.beyond:
        table = Table(*beyond_rows(card.beyond, COHORTS, CANDIDATES))
        found.append(Section(f"Beyond accuracy at {card.k}", meaning(), table))
    if card.price:
        lines = (
            f"lists are changed where they are shown: {card.re_ranking}",
            "the plain lists' figure and its change, paired by user; every other table is of the plain lists",
        )
        table = Table(*price_rows(card.price, COHORTS, card.serve))
        found.append(Section(f"What users see of the {card.serve} at {card.k}", lines, table))
    return found


def profiles(card: Card) -> list[Section]:
    """The sampled users in words, so that a reader sees what there is to carry over; or nothing."""
    if not card.profiles:
        return []
    body = [[p.user, p.cohort, p.domain, ", ".join(p.keywords)] for p in card.profiles]
    line = "Some users of each cohort: the words that tell their histories from everybody's (c-TF-IDF)."
    return [Section("Sampled users in words", (line,), Table(["user", "cohort", "domain", "keywords"], body))]


def data(card: Card) -> Section:
    """Where the figures come from: data window, sources, encoder, and how users were hidden and asked."""
    origin = [
        f"as of {card.as_of}: nothing at or after it was read",
        f"sources: {', '.join(card.sources) or 'none'}",
        f"encoder: {card.encoder}",
        f"snapshot digest: {card.data_digest[:16]}",
        *card.protocols,
    ]
    if card.re_ranking:
        origin.append(f"lists are changed where they are shown: {card.re_ranking}")
    body = [
        [name, f"{f.interactions:,}", f"{f.users:,}", f"{f.items:,}", f"{f.items_without_text:,}", _span(f)]
        for name, f in card.domains.items()
    ]
    header = ["domain", "interactions", "users", "items", "items without text", "data window"]
    return Section("Data", origin, Table(header, body))


def _span(facts: DomainFacts) -> str:
    return f"{facts.first} to {facts.last}" if facts.first else "–"
