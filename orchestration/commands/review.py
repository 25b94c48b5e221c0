"""`landbridge review`: what a person decides about model versions, from a terminal."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from orchestration.resources.registry import Registry

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
@click.option("--home", type=click.Path(file_okay=False), help="The folder that holds all state.")
def review(home: str | None) -> None:
    """List, read, approve and reject model versions.

    The approved version is the champion, which is what users get. Approving an older version is the rollback.
    """
    if home:
        os.environ["LANDBRIDGE_HOME"] = str(Path(home).resolve())


@review.command("list")
@click.argument("target", required=False)
def list_versions(target: str | None) -> None:
    """Versions with their state, the newest first; of TARGET or of all."""
    from rich.console import Console
    from rich.table import Table

    rows = _registry().review_list(target)
    if not rows:
        raise click.ClickException(
            "no version is registered yet; `landbridge run` registers one for each target"
        )
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console().print(table)


@review.command()
@click.argument("target")
@click.argument("version", type=int)
def show(target: str, version: int) -> None:
    """The review card of a version and the decisions about it."""
    from rich.console import Console
    from rich.markdown import Markdown

    found = _call(lambda registry: registry.review_show(target, version))
    console = Console()
    console.print(Markdown(found["card"]))
    for decision in found["history"]:
        when = decision.decided_at.isoformat(timespec="seconds")
        note = f": {decision.note}" if decision.note else ""
        console.print(f"{when}  {decision.decision} by {decision.decided_by}{note}", markup=False)


def _decision(command: F) -> F:
    for decorator in (
        click.option("--note", default="", help="Why; kept with the decision."),
        click.option("--by", default=getpass.getuser, show_default="your login name", help="Who decides."),
        click.argument("version", type=int),
        click.argument("target"),
    ):
        command = decorator(command)
    return command


@review.command()
@_decision
def approve(target: str, version: int, by: str, note: str) -> None:
    """Make VERSION the champion of TARGET."""
    _call(lambda registry: registry.approve(target, version, by, note))
    click.echo(
        f"{target}: version {version} is the champion; the job `recommend` in Dagster, or `landbridge run`, "
        "writes its recommendations"
    )


@review.command()
@_decision
def reject(target: str, version: int, by: str, note: str) -> None:
    """Turn VERSION of TARGET down; it stays registered and can be approved later."""
    _call(lambda registry: registry.reject(target, version, by, note))
    click.echo(f"{target}: version {version} is rejected")


def _registry() -> Registry:
    from orchestration.config import Home
    from orchestration.resources.registry import Registry

    place = Home()
    if not (place.mlflow / "mlflow.db").exists():
        raise click.ClickException(f"{place.root} holds no models yet; `landbridge run` makes them")
    return Registry()


def _call(action: Callable[[Registry], Any]) -> Any:
    """Do something with the registry, its errors shown as one line."""
    from orchestration.resources.registry import RegistryError

    try:
        return action(_registry())
    except RegistryError as error:
        raise click.ClickException(str(error)) from error
