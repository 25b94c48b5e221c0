"""The review card: one page that says whether a version is better, for whom, and how sure that is.

Pure functions from figures to text: one list of sections, written twice, as markdown (the version's
description in MLflow) and as self-contained HTML (an artifact of its run).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestration.pages import Section, Table, html_page, markdown_page
from orchestration.review.beyond_tables import beyond_rows, meaning, price_line, price_rows
from orchestration.review.peers import BEST, peer_rows, standing

if TYPE_CHECKING:
    from ml.metrics.peers import PeerLift
    from ml.metrics.report import BeyondRow, CohortRow, LiftRow, PriceRow

CANDIDATES = ("popularity", "twin", "bridge")
COHORTS = ("cold", "sparse", "warm", "all")
# Cohorts that stand in tables of their own: users after their first events, and items without a past.
NEW_USERS = {f"new_{n}": f"{n} event{'s' * (n > 1)}" for n in (1, 2, 3, 5)}
COLD_ITEMS = "cold_items"
METRICS = ("recall", "precision", "ndcg")
FEW_USERS = 100  # below this a cohort's interval is too wide to tell a usual lift from none


@dataclass(frozen=True)
class DomainFacts:
    """What a snapshot holds of one domain; first and last interaction as dates, None where there are none."""

    interactions: int
    users: int
    items: int
    items_without_text: int
    first: str | None
    last: str | None


@dataclass(frozen=True)
class UserWords:
    """What a sampled user takes up in one domain, in words; `cohort` is the user's in the target."""

    user: str
    cohort: str
    domain: str
    keywords: Sequence[str]


@dataclass(frozen=True)
class Card:
    """Everything the review card shows; `rows` and `lifts` are those of `ml.metrics.report.Report`, `peers`
    the bridge's lifts over the best peers (`ml.metrics.peers`), none where no peer was measured. `beyond` and
    `price` are the report's too, re_ranking what lists are re-ranked by, in words.
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


def verdict(card: Card) -> str:
    """The card's first line: what users of the target would get, and the evidence in one clause."""
    measured = [lift for lift in card.lifts if lift.metric == "recall"]
    best = max(measured, key=lambda lift: lift.low, default=None)
    if card.serve == "bridge" and best is not None:
        return (
            f"Serve the bridge: recall@{card.k} of {_users(best.cohort)} is {best.mean:+.4f} against its "
            f"twin (95 % interval {best.low:+.4f} to {best.high:+.4f}, {best.users:,} users)."
        )
    if card.serve == "twin":
        return "Serve the twin: knowledge from other domains brought no certain gain, the own history did."
    return (
        "Serve popularity: neither the bridge nor its twin is certainly better than the most popular items."
    )


def _users(cohort: str) -> str:
    return "all users" if cohort == "all" else f"{cohort} users"


def known_limits(card: Card) -> list[str]:
    """What the figures cannot support, in sentences; empty only where there is nothing to warn of."""
    limits = []
    users = {row.cohort: row.users for row in card.rows if row.metric == "recall"}
    for cohort in COHORTS[:3]:
        count = users.get(cohort, 0)
        if count == 0:
            limits.append(f"No {cohort} user could be measured: nothing is known of them.")
        elif count < FEW_USERS:
            limits.append(f"Only {count} {cohort} users: “no difference” may only mean “too few users”.")
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


def metric_table(
    rows: Iterable[CohortRow], lifts: Iterable[LiftRow], metric: str, cohorts: Sequence[str] = COHORTS
) -> Table:
    """One metric: cohort by candidate with 95 % intervals, and the lift of the bridge over its twin."""
    cells = {(r.cohort, r.candidate): r for r in rows if r.metric == metric}
    paired = {lift.cohort: lift for lift in lifts if lift.metric == metric}
    body = []
    for cohort in cohorts:
        found = [cells[cohort, name] for name in CANDIDATES if (cohort, name) in cells]
        if not found:
            continue
        figures = [_figure(cells.get((cohort, name))) for name in CANDIDATES]
        facts = [NEW_USERS.get(cohort, cohort.replace("_", " ")), f"{found[0].users:,}", *figures]
        body.append([*facts, _figure(paired.get(cohort), sign="+")])
    return Table(["cohort", "users", *CANDIDATES, "lift over twin"], body)


def _figure(row: CohortRow | LiftRow | None, sign: str = "") -> str:
    if row is None or row.mean != row.mean:
        return "–"
    # Unbreakable and without the leading zero: narrow tables wrap cells over three lines otherwise.
    mean, low, high = (f"{value:{sign}.4f}".replace("0.", ".", 1) for value in (row.mean, row.low, row.high))
    return f"{mean}\u00a0[{low},\u00a0{high}]"


def sections(card: Card) -> list[Section]:
    """The card's content in reading order."""
    metrics = [
        Section(f"{metric}@{card.k} by cohort", (), metric_table(card.rows, card.lifts, metric))
        for metric in METRICS
    ]
    gate = Section(f"Gate: {'passed' if card.passed else 'not passed'}", card.reasons)
    limits = Section("Known limits", known_limits(card) or ["None that the figures show."])
    measured = [*metrics, *_new_users(card), *_cold_items(card), *_peers(card), *_beyond(card)]
    return [gate, *measured, *card.transfer, *card.explained, *_profiles(card), _data(card), limits]


def _new_users(card: Card) -> list[Section]:
    """What the first events of a new user change; or nothing where no test user has more than one."""
    table = metric_table(card.rows, card.lifts, "recall", tuple(NEW_USERS))
    lines = (
        "the cold test users again, with their first events in the target; the truth is what came after",
        "the models are those that had not seen these users: a new event counts without a retrain",
    )
    title = f"New users: recall@{card.k} after their first events"
    return [Section(title, lines, table)] if table.rows else []


def _cold_items(card: Card) -> list[Section]:
    """Whether items that nobody has touched yet find the right users; or nothing where there were too few."""
    table = metric_table(card.rows, card.lifts, "recall", (COLD_ITEMS,))
    lines = (
        "users who took items with text that nobody had touched before, and such items ranked alone",
        "popularity cannot tell them apart and lists them by id, which may be better or worse than chance",
    )
    return [Section(f"Cold items: recall@{card.k}", lines, table)] if table.rows else []


def peer_table(rows: Iterable[CohortRow], peers: Sequence[PeerLift], metric: str = "recall") -> Table:
    """Every candidate by cohort, the classical peers below popularity, twin and bridge, the best marked."""
    return Table(*peer_rows(rows, peers, metric, CANDIDATES, _figure))


def _peers(card: Card) -> list[Section]:
    """The bridge beside the classical peers; or nothing where none was measured."""
    if not card.peers:
        return []
    lines = (
        f"{BEST} the best peer of a cohort, on the users it is compared on: the choice favours the peers",
        *(standing(lift) for lift in card.peers),
    )
    return [Section(f"Peers: recall@{card.k}", lines, peer_table(card.rows, card.peers))]


def _beyond(card: Card) -> list[Section]:
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


def _profiles(card: Card) -> list[Section]:
    """The sampled users in words, so that a reader sees what there is to carry over; or nothing."""
    if not card.profiles:
        return []
    body = [[p.user, p.cohort, p.domain, ", ".join(p.keywords)] for p in card.profiles]
    line = "Some users of each cohort: the words that tell their histories from everybody's (c-TF-IDF)."
    return [Section("Sampled users in words", (line,), Table(["user", "cohort", "domain", "keywords"], body))]


def _data(card: Card) -> Section:
    origin = (
        f"as of {card.as_of}: nothing at or after it was read",
        f"sources: {', '.join(card.sources) or 'none'}",
        f"encoder: {card.encoder}",
        f"snapshot digest: {card.data_digest[:16]}",
    )
    body = [
        [name, f"{f.interactions:,}", f"{f.users:,}", f"{f.items:,}", f"{f.items_without_text:,}", _span(f)]
        for name, f in card.domains.items()
    ]
    header = ["domain", "interactions", "users", "items", "items without text", "data window"]
    return Section("Data", origin, Table(header, body))


def _span(facts: DomainFacts) -> str:
    return f"{facts.first} to {facts.last}" if facts.first else "–"


def markdown(card: Card) -> str:
    """The card as GitHub-flavoured markdown."""
    return markdown_page(verdict(card), sections(card))


def html(card: Card) -> str:
    """The card as one HTML file."""
    return html_page(f"{card.target} as of {card.as_of}", verdict(card), card.serve, sections(card))
