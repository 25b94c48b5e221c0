"""`landbridge review`: what a person decides about model versions, from a terminal."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orchestration.commands.display import WIDTH
from orchestration.commands.options import place_options

if TYPE_CHECKING:
    from rich.console import Console

    from orchestration.pages import Section
    from orchestration.resources.registry import Registry
    from orchestration.resources.requests import Requests

_WAITING = ("pending", "approved once")
_BY_SOMEBODY = ("approved", "approved once", "rejected")

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def _without_prefix(_context: click.Context, _parameter: click.Parameter, target: str | None) -> str | None:
    """The target of what MLflow calls `landbridge-<target>`."""
    return target.removeprefix("landbridge-") if target else target


@click.group()
@place_options
@click.pass_context
def review(context: click.Context, config_path: str | None, home: str | None) -> None:
    """List, read, compare, approve, reject and roll back model versions.

    The approved version is the champion, which is what users get. Every decision is kept in registry_reviews.
    """
    if home:
        os.environ["LANDBRIDGE_HOME"] = str(Path(home).resolve())
    context.obj = config_path


@review.command("list")
@click.argument("target", required=False, callback=_without_prefix)
def list_versions(target: str | None) -> None:
    """Versions with their state, the newest first; of TARGET or of all."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    registry = _registry()
    rows = registry.review_list(target)
    if not rows:
        nothing = "no version is registered yet; `landbridge run` registers one for each target"
        raise click.ClickException(registry.unknown(target) if target else nothing)
    table = Table("target", "version", "alias", "as of", "serves", "gate", "review", "by", box=SIMPLE_HEAD)
    for row in rows:
        table.add_row(*map(escape, _cells(row)))
    console = Console()
    Console(width=console.width if console.is_terminal else WIDTH).print(table)
    for row in rows:
        if row["review_problem"]:
            click.echo(f"{row['target']} {row['version']}: {row['review_problem']}")
    waiting = [f"{row['target']} {row['version']}" for row in rows if row["review"] in _WAITING]
    click.echo(f"Waiting for a review: {', '.join(waiting) or 'none'}")


def _cells(row: Mapping[str, Any]) -> list[str]:
    """One version's row of `review list`."""
    verdict = row["validation_status"] + (" (dry run)" if row["gate"] == "dry_run" else "")
    cells = (row["target"], row["version"], ", ".join(row["aliases"]), row["as_of"], row["served"])
    # A name may be set before the decision is; it says nothing of one that was not taken.
    by = row["reviewed_by"] if row["review"] in _BY_SOMEBODY else ""
    return [*map(str, cells), verdict, row["review"], by]


@review.command()
@click.argument("target", callback=_without_prefix)
@click.argument("version", type=int)
def show(target: str, version: int) -> None:
    """The review card of a version and the decisions about it."""
    from rich.console import Console
    from rich.markdown import Markdown

    from orchestration.review.observed import observed_section

    found, observed = _call(
        lambda registry: (
            registry.review_show(target, version),
            observed_section(registry.home, target, version),
        )
    )
    console = Console()
    console.print(Markdown(found["card"] or _NO_CARD))
    if observed:
        _print(console, [observed])
    for decision in found["history"]:
        when = decision.decided_at.isoformat(timespec="seconds")
        note = f": {decision.note}" if decision.note else ""
        console.print(f"{when}  {decision.decision} by {decision.decided_by}{note}", markup=False)
    if after := found["successor"]:
        note = f": {after.note}" if after.note else ""
        when = after.decided_at.isoformat(timespec="seconds")
        how = f"version {after.version} {after.decision} by {after.decided_by}{note}"
        console.print(f"{when}  replaced: {how}", markup=False)
    if problem := found["review_problem"]:
        console.print(f"the last decision set in MLflow was not carried out: {problem}", markup=False)


@review.command()
@click.argument("target", callback=_without_prefix)
@click.argument("version", type=int)
@click.option("--with", "other", type=int, help="The version to compare with. Default: the champion.")
def diff(target: str, version: int, other: int | None) -> None:
    """What changed from another version to VERSION: data, configuration, encoder, code, recipe, figures."""
    from rich.console import Console

    from orchestration.review.difference import difference

    _print(Console(), _call(lambda registry: difference(registry, target, version, other)))


def _decider(command: F) -> F:
    for decorator in (
        click.option("--note", default="", help="Why; kept with the decision."),
        click.option("--by", default=getpass.getuser, show_default="your login name", help="Who decides."),
    ):
        command = decorator(command)
    return command


@review.command()
@click.argument("target", callback=_without_prefix)
@click.argument("version", type=int)
@_decider
@click.pass_obj
def approve(config_path: str | None, target: str, version: int, by: str, note: str) -> None:
    """Make VERSION the champion of TARGET; with promotion.two_people, once a second person does so."""

    def act(requests: Requests) -> list[str]:
        done = requests.carry_out_others(target, version)
        return [*done, requests.decisions.approve(target, version, by, note), _REFRESH]

    _decide(config_path, act)


@review.command()
@click.argument("target", callback=_without_prefix)
@click.argument("version", type=int)
@_decider
@click.pass_obj
def reject(config_path: str | None, target: str, version: int, by: str, note: str) -> None:
    """Turn VERSION of TARGET down; it stays registered and can be approved later."""

    def act(requests: Requests) -> list[str]:
        done = requests.carry_out_others(target, version)
        return [*done, requests.decisions.reject(target, version, by, note)]

    _decide(config_path, act)


@review.command()
@click.argument("target", callback=_without_prefix)
@click.option("--to", type=int, help="An earlier champion. Default: the one before the present one.")
@_decider
@click.pass_obj
def rollback(config_path: str | None, target: str, to: int | None, by: str, note: str) -> None:
    """Give users of TARGET the champion back that they had before; doing it twice goes back two.

    One person is enough. What waits in MLflow for the sensor is set back, so that it cannot undo this.
    """

    def act(requests: Requests) -> list[str]:
        done = requests.decisions.rollback(target, by, note, to)
        return [done, *requests.overrule_all(target, f"{target} was rolled back by {by}"), _REFRESH]

    _decide(config_path, act)


_NO_CARD = "*Its description was deleted in MLflow; its run keeps the card as `review_card.html`.*"
_REFRESH = (
    "Users get a new champion's lists once the job `recommend` has run in Dagster (the sensor champion_moved "
    "starts it), or `landbridge run`"
)


def _decide(config_path: str | None, act: Callable[[Requests], list[str]]) -> None:
    """Carry out a decision by the rules of the configuration that the home belongs to; say what was done."""
    from orchestration.environment import owner_of
    from orchestration.resources.decisions import Decisions
    from orchestration.resources.requests import Requests

    def decided(registry: Registry) -> list[str]:
        two_people = owner_of(registry.home, config_path).promotion.two_people
        return act(Requests(Decisions(registry, two_people)))

    for line in _call(decided):
        click.echo(line)


def _print(console: Console, sections: Sequence[Section]) -> None:
    """Sections of a page on a terminal."""
    from rich.markup import escape
    from rich.table import Table

    for section in sections:
        console.print(f"\n[bold]{escape(section.title)}[/]")
        for line in section.lines:
            console.print(f"- {line}", markup=False)
        if section.table:
            table = Table(*map(escape, section.table.header))
            for row in section.table.rows:
                table.add_row(*map(escape, row))
            console.print(table)


def _registry() -> Registry:
    from orchestration.config import Home
    from orchestration.resources.registry import Registry

    place = Home()
    if not (place.mlflow / "mlflow.db").exists():
        raise click.ClickException(f"{place.root} holds no models yet; `landbridge run` makes them")
    return Registry()


def _call(action: Callable[[Registry], T]) -> T:
    """Do something with the registry, its errors shown as one line."""
    from orchestration.config import Home
    from orchestration.resources.mlflow_store import StoreDownError, reachable
    from orchestration.resources.registry import RegistryError
    from orchestration.resources.warehouse import WarehouseError

    try:
        with reachable(Home()):
            return action(_registry())
    except (RegistryError, StoreDownError) as error:
        raise click.ClickException(str(error)) from error
    except WarehouseError as error:
        raise click.ClickException(f"{error.description}; nothing was decided: try again") from error
