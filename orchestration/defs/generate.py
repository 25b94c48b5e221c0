"""Generate: a language model describes items with poor text and sums up interests. Only with `generator:`.

A service that fails is no reason for a run to fail: items keep the text they have, and a check says how many.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.config import Home
from orchestration.generation import writes
from orchestration.live import LiveProgress
from orchestration.pages import Table, markdown_table
from orchestration.partitions import AS_OF, CONFIG, DOMAINS

if TYPE_CHECKING:
    import pyarrow as pa

    from ml.text.generate import Session, Written

CHECK = "generator_answers"
SAMPLED = 5
_DESCRIPTION = "Every text that was asked for was written; where not, items and users stay as they are."

if CONFIG.generator is not None and writes(CONFIG, "items"):
    ITEMS = CONFIG.generator

    @dg.asset(
        partitions_def=DOMAINS,
        deps=["item_texts"],
        group_name="features",
        kinds={"python", "parquet"},
        backfill_policy=dg.BackfillPolicy.single_run(),  # one budget for all domains
        check_specs=[dg.AssetCheckSpec(CHECK, asset="generated_texts", description=_DESCRIPTION)],
    )
    def generated_texts(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Descriptions of a domain's items with poor text; `documents_of` puts them below the items' own."""
        from orchestration.documents import own_documents_of
        from orchestration.generation import generated_path, session_of, write_item_texts

        home, session, outcomes = Home(), session_of(ITEMS), {}
        for domain in context.partition_keys:
            documents = own_documents_of(home, domain)
            log = LiveProgress(domain, context.log.info, done_word="asked for")
            outcomes[domain] = write_item_texts(documents, domain, CONFIG, home, session, log)
            shown = dg.MetadataValue.md(item_samples(documents, generated_path(home, domain)))
            context.add_asset_metadata({**figures(outcomes[domain]), "sample": shown}, partition_key=domain)
        return dg.MaterializeResult(check_results=[answers_check(outcomes, session)])


if CONFIG.generator is not None and writes(CONFIG, "users"):
    USERS = CONFIG.generator

    @dg.asset(
        partitions_def=AS_OF,
        deps=["user_profiles"],
        group_name="features",
        kinds={"python", "parquet"},
        check_specs=[dg.AssetCheckSpec(CHECK, asset="generated_summaries", description=_DESCRIPTION)],
    )
    def generated_summaries(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """What every user is interested in, in a sentence or two, from the keywords of `user_profiles`."""
        from orchestration.generation import session_of, summaries_path, write_summaries

        home, session, key = Home(), session_of(USERS), context.partition_key
        log = LiveProgress("users", context.log.info, done_word="asked for")
        outcome = write_summaries(key, CONFIG, home, session, log)
        shown = dg.MetadataValue.md(summary_samples(summaries_path(home, key)))
        return dg.MaterializeResult(
            metadata={**figures(outcome), "sample": shown},
            check_results=[answers_check({"users": outcome}, session)],
        )


def figures(written: "Written") -> dict[str, int]:
    """What a run asked for and got, as metadata."""
    return {
        "wanted": len(written.texts),
        "new": written.new,
        "cached": written.cached,
        "requests": written.requests,
        "tokens": written.tokens,
        **{f"given up/{reason}": count for reason, count in written.given_up.items()},
    }


def item_samples(documents: "pa.Table", path: Path) -> str:
    """A markdown table of some items' own texts and what was written below them."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    written = table.filter(table["generated"].is_valid()).slice(0, SAMPLED).select(["item_id", "generated"])
    rows = pc.index_in(written["item_id"], value_set=documents["item_id"].combine_chunks())
    own = pc.replace_substring(documents["document"].take(rows), "\n", " ")  # a table's row is a line
    columns = [written["item_id"], own, written["generated"]]
    lists = zip(*(column.to_pylist() for column in columns), strict=True)
    return markdown_table(Table(["item", "text", "generated"], [list(row) for row in lists]))


def summary_samples(path: Path) -> str:
    """A markdown table of some users' summaries."""
    import pyarrow.parquet as pq

    rows = pq.read_table(path).slice(0, SAMPLED).to_pylist()
    return markdown_table(Table(["user", "summary"], [[row["user_id"], row["summary"]] for row in rows]))


def answers_check(outcomes: "dict[str, Written]", session: "Session") -> dg.AssetCheckResult:
    """Warns where texts were not written: how many, why, and the service's own last words."""
    lost = {name: sum(written.given_up.values()) for name, written in outcomes.items()}
    reasons = {
        f"{name}/{reason}": f"{count:,}; {written.faults.get(reason, '')}"
        for name, written in outcomes.items()
        for reason, count in written.given_up.items()
    }
    missing = ", ".join(f"{name} {count:,}" for name, count in lost.items() if count)
    advice = (
        f"Texts not written: {missing}; what they were for stays as it is, and the next run asks again. "
        f"{session.stopped or ''}"
    )
    return dg.AssetCheckResult(
        passed=not missing,
        check_name=CHECK,
        severity=dg.AssetCheckSeverity.WARN,
        description=advice.strip() if missing else "Every text that was asked for was written.",
        metadata={"requests": session.requests, "tokens": session.tokens, **reasons},
    )
