"""`landbridge embeddings`: how much space the vectors take, by encoder, and dropping what nothing needs."""

from __future__ import annotations

from pathlib import Path

import click

from orchestration.commands.options import place_options

WIDE = 160  # of a pipe: half a key is of no use


@click.group()
def embeddings() -> None:
    """List the stored text vectors by encoder, and drop those that nothing needs."""


@embeddings.command("list")
@place_options
def list_stores(config_path: str | None, home: str | None) -> None:
    """Vectors and space on disk of every encoder that this home has ever used."""
    from rich.console import Console
    from rich.table import Table

    from orchestration.embedding_stores import held
    from orchestration.environment import prepare

    config, place = prepare(config_path, home)
    table = Table("encoder", "vectors", "MB", "in use")
    for column in (1, 2):
        table.columns[column].justify = "right"
    for store in held(config, place):
        used = "yes" if store.in_use else "no"
        table.add_row(store.key, f"{store.contents.rows:,}", megabytes(store.contents.size), used)
    console = Console()
    if not console.is_terminal:
        console.width = WIDE
    console.print(table)


@embeddings.command()
@place_options
@click.option(
    "--other-encoders",
    is_flag=True,
    help="Also all vectors of encoders that are not in use. Going back to one embeds every text again.",
)
@click.option("--yes", is_flag=True, help="Do it. Without this, nothing is changed.")
def prune(config_path: str | None, home: str | None, other_encoders: bool, yes: bool) -> None:
    """Drop the vectors of texts that no catalogue and no snapshot holds any more.

    Says what that would free; with --yes it is done. It may run beside anything: texts that are embedded
    meanwhile stay.
    """
    from orchestration.embedding_stores import prune as prune_stores
    from orchestration.environment import prepare

    config, place = prepare(config_path, home)
    try:
        freed = prune_stores(config, place, other_encoders, dry_run=not yes)
    except FileNotFoundError as error:
        raise click.ClickException(f"{error}; without them every vector of the domain would go") from error
    for each in freed:
        what = "the whole encoder" if each.whole else f"{each.contents.rows:,} vectors"
        click.echo(f"{each.key}: {what}, {megabytes(each.contents.size)} MB")
    total = megabytes(sum(each.contents.size for each in freed))
    if not freed:
        click.echo(f"nothing to drop below {Path(place.embeddings)}")
    elif yes:
        click.echo(f"freed {total} MB")
    else:
        click.echo(f"would free {total} MB; nothing was changed: give --yes to do it")


def megabytes(size: int) -> str:
    """Bytes as megabytes with one digit behind the point."""
    return f"{size / 1e6:,.1f}"
