"""A search in MLflow: one run `search <scenario>` in the target's experiment, one nested run for each trial.

The parent's metric `best_value` by step is the history of the search. A search made again for the same as-of
replaces the first one's runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from orchestration.config import Home
from orchestration.resources.evidence import flatten
from orchestration.resources.mlflow_store import connect, ensure_experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from orchestration.search import Log, Trial

_SEARCH, _KIND = "landbridge.search", "landbridge.kind"


def runs_of(home: Home, experiment: str, as_of: str, settings: Mapping[str, Any], k: int) -> Callable:
    """`orchestration.search.Logged` for one experiment and as-of. settings: the search's, as params."""
    client = connect(home)

    @contextmanager
    def logged(scenario: str) -> Iterator[Log]:
        place = ensure_experiment(client, home, experiment)
        tags = {_SEARCH: f"{as_of} {scenario}"}
        _drop(client, place, tags[_SEARCH])
        parent = client.create_run(place, tags={**tags, _KIND: "search"}, run_name=f"search {scenario}")
        run_id = parent.info.run_id
        _log(client, run_id, {"as_of": as_of, **settings}, {}, 0)
        nested = {**tags, _KIND: "trial", "mlflow.parentRunId": run_id}
        best = float("-inf")

        def log(trial: Trial) -> None:
            nonlocal best
            _log_trial(client, place, nested, trial, k)
            best = max(best, trial.value)
            if trial.worth is not None:
                _log(client, run_id, {}, {"best_value": best}, trial.number)

        try:
            yield log
        except BaseException:
            client.set_terminated(run_id, "FAILED")
            raise
        client.set_terminated(run_id)

    return logged


def _drop(client: MlflowClient, experiment: str, search: str) -> None:
    where = f"tags.`{_SEARCH}` = '{search}'"
    while earlier := client.search_runs([experiment], where):  # a page at a time
        for run in earlier:
            client.delete_run(run.info.run_id)


def _log_trial(client: MlflowClient, experiment: str, tags: Mapping[str, str], trial: Trial, k: int) -> None:
    said = {"fault": trial.fault[:5000]} if trial.fault else {}
    run = client.create_run(experiment, tags={**tags, **said}, run_name=trial.name)
    metrics: dict[str, float] = {}
    if trial.worth is not None:
        metrics = {"value": trial.value, "seconds": trial.worth.seconds}
        metrics |= {f"value_{cohort}": value for cohort, value in trial.worth.values.items()}
        metrics |= {f"ndcg_at_{k}_{cohort}": value for cohort, value in trial.worth.ndcg.items()}
        metrics |= {f"users_{cohort}": float(users) for cohort, users in trial.worth.users.items()}
    _log(client, run.info.run_id, {"family": trial.family, **trial.settings}, metrics, 0)
    client.set_terminated(run.info.run_id, "FAILED" if trial.fault else "FINISHED")


def _log(
    client: MlflowClient, run_id: str, params: Mapping[str, Any], metrics: Mapping[str, float], step: int
) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, now, step) for name, value in metrics.items()],
        params=[Param(name, value) for name, value in flatten(params).items()],
    )
