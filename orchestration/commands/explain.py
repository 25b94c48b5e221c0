"""`landbridge explain`: one recommendation of the champion taken apart, by past item and by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from orchestration.commands.options import place_options
from orchestration.config import Config, Home

if TYPE_CHECKING:
    from ml.bridge import Recommender
    from ml.bridge.contract import Parts
    from ml.bridge.serve.reasons import Term


@dataclass(frozen=True)
class Explained:
    """One item's score for a user. parts: of this item alone. reason: the sentence that users get. place:
    what the user's list makes of the item. score: the sum of the parts."""

    item: str
    title: str
    reason: str
    place: str
    score: float
    crossed: float
    parts: Parts


@click.command("explain")
@place_options
@click.option("--target", required=True, help="The domain whose item is recommended.")
@click.option("--user", required=True, help="The user's id as in the logs.")
@click.option("--item", help="An item id of the target. Default: the first of the user's list.")
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Rows of the table.")
def explain(
    config_path: str | None, home: str | None, target: str, user: str, item: str | None, top: int
) -> None:
    """Why a user gets an item: what each past item adds to its score, through which block of the model.

    The rows add up to the score that the champion gave; what is left of a long table stands in its last rows.
    """
    from orchestration.environment import prepare

    config, place = prepare(config_path, home)
    version, model = _model(config, place, target)
    found = explained(model, user, item, config.evaluation.k)
    console = Console()
    # Ids and titles may hold square brackets, which rich would read as markup.
    console.print(f"{found.title} ({found.item}) for user {user}: {found.place}", markup=False)
    console.print(f"{found.reason}; {found.crossed * 100:.0f} % of it from other domains", markup=False)
    console.print(f"from the {target} champion ({version})", markup=False)
    console.print(past_table(found, model, top))
    console.print(block_table(found))


def _model(config: Config, home: Home, target: str) -> tuple[str, Recommender]:
    from orchestration.commands.recommend import champion_of, check_target

    check_target(config, target)
    champion, model = champion_of(home, target)
    return f"{champion.tags['served']}, version {champion.version}", model


def explained(model: Recommender, user: str, item: str | None, k: int) -> Explained:
    """The item's score for the user, taken apart; by default that of the first item of the user's list of
    `k`. ClickException says what to ask for instead."""
    import numpy as np

    from ml.bridge.serve.new_items import NEW, like
    from ml.bridge.serve.reasons import Support, because

    if user not in model.user_ids:
        raise click.ClickException(
            f"the {model.target} champion does not know user {user!r}, who would get the most popular items; "
            "ask for a user of the logs before its as-of (under identity per_domain ids are domain:id)"
        )
    ids = model.item_ids[model.target]
    listed = {row["item_id"]: row for row in model.recommend([user], k=k).to_pylist()}
    if item is None and not listed:
        raise click.ClickException(f"there is nothing left to recommend to {user}; name an item with --item")
    chosen = next(iter(listed)) if item is None else item
    if chosen not in ids:
        raise click.ClickException(
            f"item {chosen!r} is not in the catalogue of {model.target} that the champion was trained with; "
            "item_id of `landbridge recommend` names some that are"
        )
    as_new = chosen in listed and listed[chosen]["reason"] == NEW
    parts = model.explain(user, [chosen], as_new)
    support = Support.of(parts)
    return Explained(
        item=chosen,
        title=model.title(model.target, int(np.searchsorted(ids, chosen))),
        reason=like(support, 0, model.title) if as_new else because(support, 0, model.title, model.verbs),
        place=(
            f"rank {listed[chosen]['rank']} of {k}"
            if chosen in listed
            else f"not on the list of {k}: its score is lower, or the user has it, or it is not available"
        ),
        score=float(parts.total()[0]),
        crossed=float(support.crossed(model.target)[0]),
        parts=parts,
    )


def past_table(found: Explained, model: Recommender, top: int) -> Table:
    """The `top` summands that add most, then the others together, the constant and the score."""
    from ml.bridge.serve.reasons import terms

    every = terms(found.parts, 0)
    table = Table("domain", "past item", title="What each past item adds", title_justify="left")
    table.add_column("adds", justify="right")
    table.add_column("through")
    for term in every[:top]:
        called = term.what if isinstance(term.what, str) else model.title(term.domain, term.what)
        table.add_row(escape(term.domain), escape(called), f"{term.value:+.4f}", _through(term))
    for name, value in _closing(found, every[top:]):
        table.add_row("", name, f"{value:+.4f}", "")
    return table


def _through(term: Term) -> str:
    blocks = sorted(term.blocks.items(), key=lambda entry: -abs(entry[1]))
    return ", ".join(f"{escape(name)} {value:+.4f}" for name, value in blocks)


def _closing(found: Explained, rest: Sequence[Term]) -> Iterator[tuple[str, float]]:
    if rest:
        yield f"{len(rest)} more", sum(term.value for term in rest)
    yield "the same for every user", float(found.parts.constant[0])
    yield "score", found.score


def block_table(found: Explained) -> Table:
    """The same score by domain and block."""
    from ml.bridge.serve.reasons import by_block

    table = Table("domain", "block", title="The same by block", title_justify="left")
    table.add_column("adds", justify="right")
    blocks = sorted(by_block(found.parts).items(), key=lambda entry: (-float(entry[1][0]), entry[0]))
    for (domain, block), values in blocks:
        table.add_row(escape(domain), escape(block), f"{float(values[0]):+.4f}")
    return table
