"""What runs by itself, all of it stopped until somebody switches it on: daily, weekly, and after a review.

A schedule's job may hold one partitions definition only, and the path crosses four. So the jobs here are
chains of ops, each of which runs stages of the path in order, as runs of their own in the same instance: the
very stages of `landbridge run`.
"""

from collections.abc import Callable, Iterator

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


@dg.op(pool="warehouse")
def apply_reviews(context: dg.OpExecutionContext) -> None:
    """Carry out the decisions that reviewers set as tags in MLflow."""
    from orchestration.resources.registry import Registry

    registry = Registry()
    for target in registry.targets():
        for version in registry.undecided(target):
            context.log.info(registry.apply_tag(target, version))


@dg.job(description="Records the decisions made in MLflow's UI and moves the champion.")
def review_decisions() -> None:
    """One op: reviews of all targets together."""
    apply_reviews()


@dg.sensor(job=review_decisions, minimum_interval_seconds=30)
def mlflow_reviews(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Looks for versions whose tag `review` was set to approved or rejected in MLflow."""
    from orchestration.resources.registry import Registry

    home = Home()
    if not home.mlflow.exists():
        yield dg.SkipReason("nothing is registered yet")
        return
    registry = Registry()
    waiting = [version for target in registry.targets() for version in registry.undecided(target)]
    if not waiting:
        yield dg.SkipReason("no review to apply")
        return
    # The count tells a decision that is made again, as in a rollback, from one that was carried out.
    keys = sorted(f"{v.name}-{v.version}-{v.tags['review']}-{v.tags.get('decisions', 0)}" for v in waiting)
    yield dg.RunRequest(run_key=" ".join(keys))


@dg.sensor(job=recommend_job, minimum_interval_seconds=30)
def champion_moved(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Refreshes the recommendations of a target whose champion is not the version that made them."""
    from orchestration.resources.registry import Registry

    home = Home()
    if not home.mlflow.exists():
        yield dg.SkipReason("nothing is registered yet")
        return
    registry = Registry()
    for target in registry.targets():
        champion, path = registry.champion(target), recommendations_path(home, target)
        if champion is None or served_version(path) == int(champion.version):
            continue
        as_of = served_as_of(path)
        key = dg.MultiPartitionKey(
            {"target": target, "as_of": as_of.isoformat() if as_of else champion.tags["as_of"]}
        )
        yield dg.RunRequest(
            run_key=f"{target}-{champion.version}-{champion.tags.get('decisions', 0)}", partition_key=key
        )
