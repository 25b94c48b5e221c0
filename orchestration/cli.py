"""The `landbridge` command; what a subcommand does is in `orchestration.commands`, imported when called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestration.commands.embeddings import embeddings
from orchestration.commands.explain import explain
from orchestration.commands.options import place_options
from orchestration.commands.quarantine import quarantine
from orchestration.commands.review import review
from orchestration.config import ConfigError, Home
from orchestration.full_disk import full_disk_line, is_full_disk


class _Group(click.Group):
    """A group whose commands print what a user can put right as lines, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for fault in error.faults:
                click.echo(f"{error.path}: {fault}", err=True)
            ctx.exit(1)
        except Exception as error:
            if not is_full_disk(error, Home()):
                raise
            click.echo(full_disk_line(Home()), err=True)
            ctx.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="landbridge")
def main() -> None:
    """Carry what a recommender has learned in one domain to the domains that lack it.

    Start with `landbridge run` (the whole path on a generated demo world), then `landbridge ui`.
    """
    from dotenv import load_dotenv

    load_dotenv(Path(".env"))


@main.command()
@place_options
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Train on everything before this day (an end of a calendar window). Default: the newest.",
)
def run(config_path: str | None, home: str | None, as_of: Any) -> None:
    """Raw files to recommendations for every target, then the table of results.

    No server is needed. Running it again gives the same rows and embeds only texts that are new.
    Exit status 1 where a stage fails; the message names the stage, its partition and what to do next.
    """
    from orchestration.commands.run import run_everything
    from orchestration.environment import prepare

    config, place = prepare(config_path, home)
    run_everything(config, place, as_of.date() if as_of else None)


@main.command()
@place_options
@click.option("--dagster-port", type=click.IntRange(1, 65535), default=3000, show_default=True)
@click.option("--mlflow-port", type=click.IntRange(1, 65535), default=5000, show_default=True)
def ui(config_path: str | None, home: str | None, dagster_port: int, mlflow_port: int) -> None:
    """Dagster (assets, backfills, schedules) and MLflow (models, reviews) on 127.0.0.1; Ctrl-C ends both."""
    from orchestration.commands.ui import serve
    from orchestration.environment import prepare

    _, place = prepare(config_path, home)
    serve(place, dagster_port, mlflow_port)


@main.command()
@place_options
@click.option("--target", required=True, help="The domain whose items are recommended.")
@click.option(
    "--users",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="One user id a line, or a CSV or Parquet file with a column user_id.",
)
@click.option("-k", type=click.IntRange(1, 1000), default=10, show_default=True, help="Items for each user.")
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The Parquet file to write: user_id, item_id, score, rank, reason; crossed with --explain.",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Name the past items that speak for each item, and the share that crossed from other domains.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="NAME=VALUE[,VALUE]",
    help="Only items of a category (category=books,games) or sold in a region (region=eu); repeatable.",
)
@click.option(
    "--include-unavailable", is_flag=True, help="Also items that the newest catalogue calls unavailable."
)
def recommend(
    config_path: str | None,
    home: str | None,
    target: str,
    users: Path,
    k: int,
    out: Path,
    explain: bool,
    only: tuple[str, ...],
    include_unavailable: bool,
) -> None:
    """Recommend a target's items to a list of users, with the champion of that target.

    Items that its newest catalogue calls unavailable are left out. Users that the champion does not know
    get the most popular items, and a reason that says so.
    """
    from orchestration.commands.recommend import recommend_to_file
    from orchestration.environment import prepare

    config, place = prepare(config_path, home)
    click.echo(recommend_to_file(config, place, target, users, k, out, explain, only, include_unavailable))


@main.command()
@place_options
@click.option(
    "--target", "targets", multiple=True, help="Only this domain; repeatable. Default: every domain."
)
@click.option(
    "--from",
    "first",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Train and evaluate what is missing from here on.",
)
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="The last as-of. Default: the newest.")
@click.option(
    "--every",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="With --from: only every Nth as-of, counted back from the last.",
)
def backtest(
    config_path: str | None, home: str | None, targets: tuple[str, ...], first: Any, last: Any, every: int
) -> None:
    """Recall over time: what the present code and settings would have been worth at each as-of.

    Without --from it shows what was measured already. With it, each as-of of the calendar that lacks an
    evaluation is trained as if it were that day, on the tables that the last run left; no version is
    registered. Writes backtest/<target>.html and backtest/<target>.parquet below the home.
    """
    from orchestration.commands.backtest import run_backtest
    from orchestration.environment import prepare

    config, place = prepare(config_path, home)
    start, end = (day.date() if day else None for day in (first, last))
    run_backtest(config, place, targets, start, end, every)


@main.command()
@place_options
def doctor(config_path: str | None, home: str | None) -> None:
    """Check versions, device, encoder, configuration, disk and ports; exit status 1 where one stops a run."""
    from rich.console import Console

    from orchestration.commands.doctor import examine, findings_table

    findings = examine(config_path, Home(Path(home) if home else None))
    Console(soft_wrap=False).print(findings_table(findings))
    if any(finding.level == "fail" for finding in findings):
        raise SystemExit(1)


@main.group()
def config() -> None:
    """The configuration file."""


@config.command("check")
@click.argument("path", required=False, type=click.Path(dir_okay=False))
@click.option("--config", "config_path", type=click.Path(dir_okay=False), help="The same as PATH.")
def config_check(path: str | None, config_path: str | None) -> None:
    """Check PATH (default: LANDBRIDGE_CONFIG, else landbridge.yaml) and its files; one line per fault."""
    from orchestration.config import load_config
    from orchestration.environment import require_sources

    settings = load_config(path or config_path)
    require_sources(settings)
    click.echo(f"{settings.path}: in order; domains: {', '.join(settings.domain_names)}")


main.add_command(embeddings)
main.add_command(explain)
main.add_command(quarantine)
main.add_command(review)

if __name__ == "__main__":
    main()
