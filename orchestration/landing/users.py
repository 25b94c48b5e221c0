"""User files into raw.users: optional, so a domain without one simply has no rows there."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from orchestration.config import Config
from orchestration.landing.history import USERS, record, survey
from orchestration.landing.loading import Loaded, transaction
from orchestration.landing.quoting import identifier, quote
from orchestration.landing.raw_tables import prepare
from orchestration.landing.readers import reading
from orchestration.landing.sources import Source, SourceFile, user_source


def _insert(connection: duckdb.DuckDBPyConnection, domain: str, source: Source, file: SourceFile) -> None:
    roles = [role for role in source.columns if role != "user"]
    names = ", ".join(quote(source.columns[role]) for role in roles)
    values = ", ".join(identifier(role) for role in roles)
    with reading(connection, source, file.path) as rows:
        connection.execute(f"""
            insert into raw.users
            select {quote(domain)}, {quote(source.label(file.path))}, source_line, "user",
                map(cast([{names}] as varchar[]), cast([{values}] as varchar[])), raw_line, error
            from ({rows}) where belongs""")


def load_users(
    connection: duckdb.DuckDBPyConnection, config: Config, domains: Sequence[str]
) -> dict[str, Loaded]:
    """Replace the users of domains in raw.users by what their files hold now, in one transaction.

    `attributes` maps each attribute, as landbridge.yaml names it, to its text. A domain whose configuration
    names no user file loses its rows. SourceError before anything is written.
    """
    sources = {domain: source for domain in domains if (source := user_source(config, domain))}
    surveys = {domain: survey(connection, config, domain, USERS) for domain in sources}
    prepare(connection, config)
    with transaction(connection):
        connection.execute("delete from raw.users where list_contains(?, domain)", [list(domains)])
        for domain, source in sources.items():
            for file in surveys[domain].files:
                _insert(connection, domain, source, file)
            record(connection, config, surveys[domain])
    counts = connection.execute("select domain, count(*), count(error) from raw.users group by 1").fetchall()
    found_rows = {domain: (rows, bad) for domain, rows, bad in counts}
    return {
        domain: Loaded(
            *found_rows.get(domain, (0, 0)), files=len(surveys[domain].files) if domain in surveys else 0
        )
        for domain in domains
    }
