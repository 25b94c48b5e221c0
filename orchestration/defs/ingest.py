"""Landing files -> raw: every line with its file and number, in the window it belongs to."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import duckdb

from orchestration.landing.loading import Loaded, load_events, load_items
from orchestration.landing.sources import SourceError
from orchestration.landing.users import load_users
from orchestration.partitions import CONFIG, DOMAIN_WINDOWS, DOMAINS
from orchestration.resources.warehouse import Warehouse
from orchestration.runs import span_of

_LANDING = ["demo_world"] if CONFIG.demo else []


def _metadata(loaded: dict[str, Loaded]) -> dict[str, dg.MetadataValue]:
    records = [
        dg.TableRecord(
            {
                "domain": domain,
                "rows": found.rows,
                "unparsable": found.unparsable,
                "of other domains": found.elsewhere,
                "files": found.files,
            }
        )
        for domain, found in loaded.items()
    ]
    return {
        "dagster/row_count": dg.MetadataValue.int(sum(n.rows for n in loaded.values())),
        "domains": dg.MetadataValue.table(records) if records else dg.MetadataValue.text("none"),
    }


@contextmanager
def _writing(warehouse: Warehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse to load into; a fault of a file fails the run in its own words, and once."""
    try:
        with warehouse.write() as connection:
            yield connection
    except SourceError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


@dg.asset(
    key=["raw", "events"],
    group_name="raw",
    kinds={"duckdb"},
    deps=_LANDING,
    partitions_def=DOMAIN_WINDOWS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool="warehouse",
)
def raw_events(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    """Behaviour logs as read. One row per line of a log, with file and line; bad ones have `error`."""
    with _writing(warehouse) as connection:
        loaded = load_events(connection, CONFIG, span_of(context))
    return dg.MaterializeResult(metadata=_metadata(loaded))


@dg.asset(
    key=["raw", "items"],
    group_name="raw",
    kinds={"duckdb"},
    deps=_LANDING,
    partitions_def=DOMAINS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool="warehouse",
)
def raw_items(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    """Catalogues as read. One row per line of a catalogue, with file and line; bad ones have `error`."""
    with _writing(warehouse) as connection:
        loaded = load_items(connection, CONFIG, sorted(context.partition_keys))
    if empty := [domain for domain, found in loaded.items() if found.rows == found.unparsable]:
        raise dg.Failure(description="\n".join(map(_no_items, empty)), allow_retries=False)
    return dg.MaterializeResult(metadata=_metadata(loaded))


@dg.asset(
    key=["raw", "users"],
    group_name="raw",
    kinds={"duckdb"},
    deps=_LANDING,
    partitions_def=DOMAINS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool="warehouse",
)
def raw_users(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    """User files as read, where a domain has any. One row per line of a user file; bad ones have `error`."""
    with _writing(warehouse) as connection:
        loaded = load_users(connection, CONFIG, sorted(context.partition_keys))
    return dg.MaterializeResult(metadata=_metadata(loaded))


def _no_items(domain: str) -> str:
    """Its lines stay in raw.items; but it can recommend nothing, and every event of it would be an orphan."""
    file = CONFIG.resolve(CONFIG.domains[domain].items.path)
    return (
        f"{CONFIG.path}: domains.{domain}.items.path: {file} holds no readable item; expected at least one. "
        f"Nothing else was touched: fill the file, or take {domain} out of the configuration"
    )
