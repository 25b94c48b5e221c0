"""`landbridge recommend`: users in, a Parquet file of ranked items out, from the target's champion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestration.config import Config, Home
from orchestration.files import replaced_file

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from ml.bridge import Recommender
    from ml.retrieval.filters import Filter

COLUMNS = ["user_id", "item_id", "score", "rank", "reason"]


def read_user_ids(path: Path) -> list[str]:
    """User ids of a file, in order, each once: one a line, or the column `user_id` of a CSV or Parquet file.

    ClickException where the file cannot be read so or names no user.
    """
    if path.suffix.lower() == ".parquet":
        ids = _parquet_ids(path)
    else:
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise click.ClickException(f"{path} is neither UTF-8 text nor Parquet (.parquet)") from error
        ids = _csv_ids(path, lines) if path.suffix.lower() == ".csv" or _is_header(lines[:1]) else lines
    unique = list(dict.fromkeys(stripped for value in ids if (stripped := value.strip())))
    if not unique:
        raise click.ClickException(f"{path} names no user: expected one user id a line, or a column user_id")
    return unique


def _is_header(first: list[str]) -> bool:
    return bool(first) and "user_id" in (cell.strip().strip('"') for cell in first[0].split(","))


def _csv_ids(path: Path, lines: list[str]) -> list[str]:
    import csv

    rows = csv.DictReader(lines)
    if "user_id" not in (rows.fieldnames or []):
        found = ", ".join(rows.fieldnames or []) or "nothing"
        raise click.ClickException(f"{path} has no column user_id; it has: {found}")
    return [row["user_id"] or "" for row in rows]


def _parquet_ids(path: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except pa.ArrowInvalid as error:
        raise click.ClickException(f"{path} is not a Parquet file: {error}") from error
    if "user_id" not in schema.names:
        raise click.ClickException(f"{path} has no column user_id; it has: {', '.join(schema.names)}")
    return [
        str(value)
        for value in pq.read_table(path, columns=["user_id"])["user_id"].to_pylist()
        if value is not None
    ]


def recommend_to_file(
    config: Config,
    home: Home,
    target: str,
    users: Path,
    k: int,
    out: Path,
    explain: bool,
    only: Sequence[str] = (),
    include_unavailable: bool = False,
) -> str:
    """Write the lists and return a sentence on what was written; ClickException says what is missing."""
    check_target(config, target)
    user_ids = read_user_ids(users)
    import pyarrow.parquet as pq

    champion, recommender = champion_of(home, target)
    chosen, shown = chosen_items(recommender, only, include_unavailable)
    lists = recommender.recommend(user_ids, k=k, explain=explain, only=chosen)
    lists = lists.select([*COLUMNS, "crossed"] if explain else COLUMNS)
    with replaced_file(out) as beside:
        pq.write_table(lists, beside, compression="zstd")
    unknown = len(set(user_ids) - set(map(str, recommender.user_ids)))
    served = f"{champion.tags['served']}, version {champion.version}"
    asked = f"{len(user_ids):,} users, {unknown:,} of them unknown"
    order = f"; re-ranked: {recommender.reranker.rules}" if recommender.reranker else ""
    if recommender.new_items:
        order += f"; new items have at most {recommender.new_items.slots} of the last places"
    return f"{out}: {len(lists):,} rows for {asked}; from the {target} champion ({served}){shown}{order}"


def check_target(config: Config, target: str) -> None:
    """ClickException where the configuration has no such domain."""
    if target not in config.domains:
        raise click.ClickException(
            f"unknown target {target!r}; {config.path.name} has: {', '.join(config.domain_names)}"
        )


def champion_of(home: Home, target: str) -> tuple[ModelVersion, Recommender]:
    """The version that is served and its model, which knows what the newest catalogue says of its items;
    ClickException where there is none."""
    from orchestration.resources.registry import Registry

    run_first = f"{target} has no champion yet; run `landbridge run`, then `landbridge review list {target}`"
    if not (home.mlflow / "mlflow.db").exists():
        raise click.ClickException(run_first)
    registry = Registry()
    champion = registry.champion(target)
    if champion is None:
        raise click.ClickException(run_first)
    return champion, as_the_catalogue_is_now(registry.load(champion), home)


def as_the_catalogue_is_now(recommender: Recommender, home: Home) -> Recommender:
    """The model with what the newest snapshot says of its items; as it is where there is no snapshot."""
    from ml.snapshot_files import read_catalogue
    from orchestration.defs.snapshot import newest_snapshot_path

    newest = newest_snapshot_path(home)
    return recommender.with_catalogue(read_catalogue(newest, recommender.target)) if newest else recommender


def chosen_items(
    recommender: Recommender, only: Sequence[str], include_unavailable: bool
) -> tuple[Filter, str]:
    """The filter that was asked for, and how many items it leaves, in words; ClickException for none."""
    from ml.bridge.serve.shown import allowed_items
    from ml.retrieval.filters import FilterError, parse_filter

    items = len(recommender.item_ids[recommender.target])
    try:
        chosen = parse_filter(only, include_unavailable=include_unavailable)
        allowed = allowed_items(recommender.attributes, items, chosen)
    except FilterError as error:
        raise click.ClickException(f"{recommender.target}: {error}") from error
    if allowed is None:
        return chosen, ""
    if not allowed.any():
        advice = "" if include_unavailable else ", or add --include-unavailable"
        raise click.ClickException(f"no item of {recommender.target} passes the filter; ask for less{advice}")
    return chosen, f"; {allowed.sum():,} of {items:,} items pass the filter"
