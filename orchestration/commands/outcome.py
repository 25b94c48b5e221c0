"""What came out of a run, in words: a sentence for each stage, the reason of a failure, the results."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from orchestration.commands.results import results_table
from orchestration.config import Config, Home
from orchestration.review.peers import best_peer_line

if TYPE_CHECKING:
    import dagster as dg
    from dagster._utils.error import SerializableErrorInfo
    from mlflow.entities.model_registry import ModelVersion
    from rich.console import Console

    from orchestration.resources.registry import Registry

Results = Sequence["dg.ExecuteInProcessResult"]


def metadata_of(results: Results, asset: str) -> list[dict[str, Any]]:
    """The metadata of every materialisation of an asset in some runs, as plain values."""
    events = [event for result in results for event in result.get_asset_materialization_events()]
    found = [e for e in events if e.asset_key is not None and e.asset_key.to_user_string() == asset]
    return [{name: value.value for name, value in event.materialization.metadata.items()} for event in found]


def sentence(title: str, results: Results) -> str:
    """What a stage made, in one line."""
    if title == "catalogues":
        return f"{_rows(results, 'raw/items')} lines of catalogues read"
    if title == "events":
        return f"{_rows(results, 'raw/events')} log lines read; {_cleaned()}"
    if title == "models":
        return _cleaned()
    if title == "text":
        found = metadata_of(results, "item_embeddings")
        names = ("new", "reused", "without_text", "unreadable")
        counts = {name: sum(m.get(name, 0) for m in found) for name in names}
        done = f"{counts['new']:,} texts embedded, {counts['reused']:,} reused"
        left = f"{counts['without_text']:,} items without text"
        unreadable = f", {counts['unreadable']:,} unreadable" if counts["unreadable"] else ""
        return f"{done}, {left}{unreadable}"
    if title == "snapshot":
        made = metadata_of(results, "training_snapshot")[-1]
        return f"{made['dagster/row_count']:,} interactions, {made['items']:,} items, {made['digest'][:12]}"
    if title == "text index":
        items = sum(m["items"] for m in metadata_of(results, "item_index"))
        return f"{items:,} items found by their text"
    if title == "factors":
        return f"{len(results)} domains factorised"
    if title == "transferability":
        return _helped(results)
    if title == "observed":
        found = metadata_of(results, "observed")
        lists, answers = (sum(m[name] for m in found) for name in ("lists", "answers"))
        return f"{lists:,} lists kept, {answers:,} times a user took something new after one"
    return _measured(title, results) or _transferred(results)


def _rows(results: Results, asset: str) -> str:
    """Rows of a run; a range run repeats one total on each of its partitions."""
    return f"{max((m.get('dagster/row_count', 0) for m in metadata_of(results, asset)), default=0):,}"


def _cleaned() -> str:
    from orchestration.resources.warehouse import Warehouse

    query = "select (select count(*) from marts.fct_interactions), (select count(*) from marts.quarantine)"
    with Warehouse().read() as connection:
        kept, quarantined = connection.execute(query).fetchone() or (0, 0)
    return f"{kept:,} interactions, {quarantined:,} lines in quarantine"


def _helped(results: Results) -> str:
    """How many pairs of source and target there are, and in how many the source certainly helps somebody."""
    made = metadata_of(results, "transferability")[-1]
    return f"{made['pairs']:,} pairs of source and target; {made['helpful_pairs']:,} certainly help"


def _measured(title: str, results: Results) -> str:
    """What a stage of a backtest made; empty text for other stages."""
    if title == "backtest":
        return f"{sum(m['as_ofs'] for m in metadata_of(results, 'backtest')):,} evaluations collected"
    if title.endswith(" data"):
        made = metadata_of(results, "training_snapshot")[-1]
        return f"{made['dagster/row_count']:,} interactions, {made['items']:,} items"
    if title.endswith(" sources"):
        return _helped(results)
    registered, measured = (metadata_of(results, name) for name in ("model_version", "evaluation"))
    target = title.partition(" ")[2]
    return f"{target}: the gate would serve {measured[-1]['served']}" if measured and not registered else ""


_NOT_SERVED = {
    "refused": "is refused by the gate",
    "queued": "waits for a review",
    "superseded": "is superseded: the champion stays",
    "registered": "is registered",
    "rejected": "was rejected",
}


def _transferred(results: Results) -> str:
    version = metadata_of(results, "model_version")[-1]
    text = f"version {version['version']} serves {version['served']} ({version['decision']})"
    if state := _NOT_SERVED.get(version["decision"]):
        text = f"version {version['version']}, {version['served']}, {state}"
    lists = metadata_of(results, "recommendations")
    return f"{text}, {lists[-1]['dagster/row_count']:,} rows of recommendations" if lists else text


def failure(result: dg.ExecuteInProcessResult) -> tuple[str, str]:
    """The first failed step and the innermost reason it gives."""
    for event in result.all_events:
        if not event.is_step_failure:
            continue
        data = event.step_failure_data
        if data.user_failure_data and data.user_failure_data.description:
            return str(event.step_key), data.user_failure_data.description
        if data.error is not None:
            return str(event.step_key), _innermost(data.error).message.strip()
    return "the run", "no step says why; the log does"


def _innermost(error: SerializableErrorInfo) -> SerializableErrorInfo:
    """Dagster wraps what was raised; the cause at the end of the chain is what a user can act on."""
    return error if error.cause is None else _innermost(error.cause)


def print_outcome(console: Console, config: Config, home: Home, as_of: date, seconds: float) -> None:
    """The table of results, what each target serves and why, and where to look next."""
    from ml.metrics.gate import decide
    from ml.metrics.peers import peer_lifts
    from orchestration.defs.evaluate import read_report
    from orchestration.resources.registry import CHAMPION, Registry

    registry = Registry(home)
    reports = {t: read_report(home.models / as_of.isoformat() / t) for t in config.domain_names}
    console.print()
    console.print(results_table(reports, config.evaluation.k))
    for target, report in reports.items():
        decision = decide(report, config.promotion.gate.margin_twin)
        made = newest(registry, target, as_of.isoformat())
        champion = registry.aliases(target).get(CHAMPION)
        serves = "serves" if made and champion == int(made.version) else "would serve"
        console.print(f"[bold]{target}[/] {serves} {decision.serve}: {escape(' '.join(decision.reasons))}")
        console.print(escape(gate_line(registry, made, config.promotion.gate.mode)))
        if line := best_peer_line(peer_lifts(report, config.evaluation.seed)):
            console.print(f"[dim]{escape(line)}[/]")
    console.print(f"\nDone in {seconds:.0f} s. Where to look next:")
    for what, where in _next_steps(config, home, registry):
        console.print(f"  {what:16} {where}", markup=False, soft_wrap=True)


def newest(registry: Registry, target: str, as_of: str) -> ModelVersion | None:
    """The newest version of a target as of a day."""
    made = [version for version in registry.versions(target) if version.tags["as_of"] == as_of]
    return made[0] if made else None


def gate_line(registry: Registry, version: ModelVersion | None, mode: str) -> str:
    """What the gate says of a version: what failed, or that nothing did."""
    if mode == "disabled":
        return "The gate is disabled."
    verdict = registry.verdict(version) if version else None
    if version is None or verdict is None:
        return "The gate was not asked."
    dry = "On a dry run: the" if mode == "dry_run" else "The"
    if verdict.passed:
        return f"{dry} gate lets version {version.version} pass."
    failed = " ".join(condition.words for condition in verdict.conditions if not condition.passed)
    return f"{dry} gate refuses version {version.version}. {failed}"


def _next_steps(config: Config, home: Home, registry: Registry) -> list[tuple[str, str]]:
    from orchestration.resources.registry import CHALLENGER

    target = config.domain_names[0]
    steps = [
        ("see it all", "landbridge ui"),
        ("recommendations", str(home.recommendations)),
        ("new users", f"landbridge recommend --target {target} --users ids.txt --out lists.parquet"),
        ("versions", "landbridge review list"),
    ]
    waiting = [(name, registry.aliases(name).get(CHALLENGER)) for name in config.domain_names]
    commands = [f"landbridge review approve {name} {number} --by NAME" for name, number in waiting if number]
    return [*steps, *(("make it live", command) for command in commands)]
