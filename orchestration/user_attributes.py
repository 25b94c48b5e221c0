"""User attributes on their way to models: which the configuration lets through, and from the warehouse.

What models may not read never leaves the warehouse: a snapshot lies about for years, and is copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.sensitive import is_sensitive
from orchestration.config import Config

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_KNOWN = """
select domain, user_id, attribute, value from marts.user_attributes
where list_contains($attributes, domain || '/' || attribute) order by all
"""


def usable_attributes(config: Config) -> dict[str, list[str]]:
    """Domain -> the attributes of its users file that models may read; without domains that have none."""
    found: dict[str, list[str]] = {}
    for name in config.domain_names:
        users = config.domains[name].users
        if users is None or not config.blocks.user_attributes:
            continue
        columns = users.columns
        sensitive = {a for a in columns.attributes if is_sensitive(a) or a in columns.sensitive}
        kept = [a for a in columns.attributes if a not in sensitive or a in config.blocks.sensitive]
        if kept:
            found[name] = kept
    return found


def attributes_of_users(connection: duckdb.DuckDBPyConnection, config: Config) -> pa.Table | None:
    """domain, user_id, attribute, value of what models may read; None where that is nothing."""
    wanted = [f"{domain}/{name}" for domain, names in usable_attributes(config).items() for name in names]
    if not wanted:
        return None
    return connection.sql(_KNOWN, params={"attributes": wanted}).to_arrow_table()
