"""What runs by itself, all of it stopped until somebody switches it on: daily, weekly, and after a review.

A schedule's job may hold one partitions definition only, and the path crosses four. So the jobs here are
chains of ops, each of which runs stages of the path in order, as runs of their own in the same instance: the
very stages of `landbridge run`.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.config import Home
from orchestration.defs.recommend import (
    recommendation_lists,
    recommendations,
    recommendations_path,
    served_as_of,
    served_version,
)
from orchestration.partitions import CONFIG, TARGET_AS_OF
from orchestration.stages import Stage, newest_as_of, preparing, run_stage, serving, training, windows_of

if TYPE_CHECKING:
    from orchestration.resources.decisions import Decisions

STARTED_BY = "landbridge/started_by"

recommend_job = dg.define_asset_job(
    "recommend",
    selection=dg.AssetSelection.assets(recommendation_lists, recommendations),
    partitions_def=TARGET_AS_OF,
    description="The champion's lists for one target.",
)


def _step(name: str, make: Callable[[], list[Stage]]) -> dg.OpDefinition:
    @dg.op(
        name=name, description=f"Runs the stages of the path that {name}.", ins={"after": dg.In(dg.Nothing)}
    )
    def run_stages(context: dg.OpExecutionContext) -> None:
        from orchestration.definitions import defs

        for stage in make():
            for result in run_stage(stage, defs, context.instance, tags={STARTED_BY: context.run_id}):
                context.log.info(f"{stage.title}: run {result.run_id}")
                if not result.success:
                    raise dg.Failure(f"{stage.title} failed: see run {result.run_id}", allow_retries=False)

    return run_stages


def prepare_newest() -> list[Stage]:
    """Ingest and clean the newest window, embed what is new, take the newest snapshot."""
    newest = windows_of(CONFIG)[-1]
    return preparing(CONFIG, newest_as_of(CONFIG), newest, newest)


prepare_window = _step("prepare", prepare_newest)
recommend_newest = _step("recommend_to_all", lambda: serving(CONFIG, newest_as_of(CONFIG)))
train_newest = _step("train", lambda: training(CONFIG, newest_as_of(CONFIG)))


@dg.job(description="Ingest, clean, embed what is new, recommend: for the newest window.")
def daily_refresh() -> None:
    """Champions stay as they are; their users' newest events count."""
    recommend_newest(prepare_window())


@dg.job(description="Retrain, evaluate and register every target, as of the newest window's end.")
def weekly_retrain() -> None:
    """What the gate and the reviewer let through is served by the next refresh."""
    train_newest(prepare_window())


daily = dg.ScheduleDefinition(
    name="daily", job=daily_refresh, cron_schedule="0 2 * * *", description=daily_refresh.description
)
weekly = dg.ScheduleDefinition(
    name="weekly", job=weekly_retrain, cron_schedule="0 4 * * 0", description=weekly_retrain.description
)


# The warehouse or MLflow may be in somebody's hands for a moment; whoever waits longer is asked for again.
_A_MOMENT = dg.RetryPolicy(max_retries=2, delay=15)
_AGAIN = {"reviews": 600, "lists": 3600}  # seconds until what failed is asked for again


def _decisions() -> "Decisions":
    from orchestration.resources.decisions import Decisions
    from orchestration.resources.registry import Registry

    return Decisions(Registry(), CONFIG.promotion.two_people)


def _follows_log() -> bool:
    """With promotion mode off, people move the alias themselves."""
    return CONFIG.promotion.mode != "off"


@dg.op(pool="warehouse", retry_policy=_A_MOMENT)
def apply_reviews(context: dg.OpExecutionContext) -> None:
    """Carry out the decisions that reviewers set as tags in MLflow; put right an alias moved by hand."""
    from orchestration.resources.mlflow_store import reachable
    from orchestration.resources.requests import Requests

    with reachable(Home()):
        requests = Requests(_decisions())
        for target in requests.registry.targets():
            for line in requests.settle(target, _follows_log()):
                context.log.info(line)


@dg.job(description="Records the decisions made in MLflow's UI and moves the champion.")
def review_decisions() -> None:
    """One op: reviews of all targets together."""
    apply_reviews()


def _round(what: str) -> int:
    """Part of a run key: a run is asked for once, and again in every round in which it is still needed."""
    return int(time.time() // _AGAIN[what])


@dg.sensor(
    job=review_decisions,
    minimum_interval_seconds=15,
    description="Carries out what reviewers set in MLflow (tag `review`); takes back an alias moved by hand.",
)
def mlflow_reviews(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Looks for versions whose tag `review` was set in MLflow, and for an alias moved by hand."""
    from orchestration.resources.mlflow_store import StoreDownError, reachable
    from orchestration.resources.registry import Registry
    from orchestration.resources.requests import anything_to_do

    home = Home()
    if not home.mlflow.exists():
        yield dg.SkipReason("nothing is registered yet")
        return
    try:
        with reachable(home):
            registry = Registry()
            todo = [key for t in registry.targets() for key in anything_to_do(registry, t, _follows_log())]
    except StoreDownError as error:
        yield dg.SkipReason(str(error))
        return
    if todo:
        yield dg.RunRequest(run_key=" ".join([*todo, str(_round("reviews"))]))
    else:
        yield dg.SkipReason("no review to apply")


@dg.sensor(
    job=recommend_job,
    minimum_interval_seconds=15,
    description="Makes new lists for the users of a target whose champion has changed.",
)
def champion_moved(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Refreshes the recommendations of a target whose champion is not the version that made them.

    An alias that somebody moved by hand is no decision: `mlflow_reviews` takes it back.
    """
    from orchestration.resources.mlflow_store import StoreDownError, reachable
    from orchestration.resources.registry import Registry
    from orchestration.resources.requests import is_astray

    home = Home()
    if not home.mlflow.exists():
        yield dg.SkipReason("nothing is registered yet")
        return
    try:
        with reachable(home):
            registry = Registry()
            champions = {target: registry.champion(target) for target in registry.targets()}
    except StoreDownError as error:
        yield dg.SkipReason(str(error))
        return
    for target, champion in champions.items():
        path = recommendations_path(home, target)
        served, as_of = served_version(path), served_as_of(path)
        if champion is None or served == int(champion.version) or (_follows_log() and is_astray(champion)):
            continue
        decided = champion.tags.get("decisions", 0)
        key = dg.MultiPartitionKey(
            {"target": target, "as_of": as_of.isoformat() if as_of else champion.tags["as_of"]}
        )
        yield dg.RunRequest(
            run_key=f"{target}-{served}-{champion.version}-{decided}-{_round('lists')}", partition_key=key
        )
