"""The review card: one page that says whether a version is better, for whom, and how sure that is.

Pure functions from figures to text: one list of sections, written twice, as markdown (the version's
description in MLflow) and as self-contained HTML (an artifact of its run).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from orchestration.beyond_tables import beyond_rows, meaning, price_line, price_rows
from orchestration.peers import BEST, peer_rows, standing

if TYPE_CHECKING:
    from ml.metrics.peers import PeerLift
    from ml.metrics.report import BeyondRow, CohortRow, LiftRow, PriceRow

CANDIDATES = ("popularity", "twin", "bridge")
COHORTS = ("cold", "sparse", "warm", "all")
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


@dataclass(frozen=True)
class Table:
    """Cells as text, the first column being the row's name."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """One heading of the card with its lines and, below them, an optional table and an SVG (HTML only)."""

    title: str
    lines: Sequence[str] = field(default_factory=tuple)
    table: Table | None = None
    picture: str = ""


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
        facts = [cohort.replace("_", " "), f"{found[0].users:,}", *figures]
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
    measured = [*metrics, *_cold_items(card), *_peers(card), *_beyond(card)]
    return [gate, *measured, *card.transfer, *card.explained, *_profiles(card), _data(card), limits]


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
    parts = [f"**{verdict(card)}**"]
    for section in sections(card):
        parts.append(f"**{section.title}**")  # MLflow prints headings like text
        if section.lines:
            parts.append("\n".join(f"- {line}" for line in section.lines))
        if section.table:
            parts.append(markdown_table(section.table))
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Table) -> str:
    """A markdown table, names to the left and figures to the right."""
    rule = [":--"] + ["--:"] * (len(table.header) - 1)
    # The em space keeps columns apart in MLflow, whose tables have no padding.
    spaced = [[row[0], *(f"&emsp;{cell}" for cell in row[1:])] for row in (table.header, *table.rows)]
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in spaced]  # an id may hold a bar
    return "\n".join("| " + " | ".join(row) + " |" for row in (escaped[0], rule, *escaped[1:]))


def html(card: Card) -> str:
    """The card as one HTML file: no script, nothing fetched, light and dark."""
    title = f"{card.target} as of {card.as_of}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="verdict {escape(card.serve)}">{escape(verdict(card))}</p>',
    ]
    for section in sections(card):
        parts.append(f"<h2>{escape(section.title)}</h2>")
        if section.lines:
            parts.append("<ul>" + "".join(f"<li>{escape(line)}</li>" for line in section.lines) + "</ul>")
        if section.table:
            parts.append(_html_table(section.table))
        if section.picture:
            parts.append(f'<div class="scroll">{section.picture}</div>')
    return _PAGE.format(title=escape(title), style=_STYLE, body="".join(parts))


def _html_table(table: Table) -> str:
    # Words read from the left, figures compare from the right.
    words = [any(row[i][:1].isalpha() for row in table.rows) for i in range(len(table.header))]
    look = [' class="words"' if column else "" for column in words]
    head = "".join(
        f'<th scope="col"{kind}>{escape(cell)}</th>' for kind, cell in zip(look, table.header, strict=True)
    )
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td{kind}>{escape(c)}</td>" for kind, c in zip(look[1:], row[1:], strict=True))
        + "</tr>"
        for row in table.rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style>
</head>
<body>{body}</body>
</html>
"""
_STYLE = """
:root { color-scheme: light dark; --line: #8886; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin-top: 1.6rem; }
.verdict { font-size: 1.1rem; padding: .6rem .9rem; border-left: 5px solid #0072b2; background: #0072b21a; }
.verdict.twin { border-color: #e69f00; background: #e69f001a; }
.verdict.popularity { border-color: #d55e00; background: #d55e001a; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, .words { text-align: left; }
"""
