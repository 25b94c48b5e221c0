"""What lists are filtered by (availability, category, region): where it is mapped, and from the warehouse.

Stock changes faster than texts do, so it does not wait in their files: a snapshot reads it when it is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from orchestration.config import Config

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_JOINED = """
select items.*, known.available, known.category, known.regions
from landed_items as items
left join marts.dim_items as known using (domain, item_id)
"""
_STOCK = """
select domain, count(*) as items, count(available), count(*) filter (not available)
from marts.dim_items where list_contains($domains, domain) group by domain order by domain
"""
_UNREAD = """
select domain, available_unread, count(*) as lines from staging.stg_items
where available_unread is not null and list_contains($domains, domain) group by all order by lines desc, 1, 2
"""


class Stock(NamedTuple):
    """The items of a domain, those of which its catalogue tells availability, those that are unavailable."""

    domain: str
    items: int
    told: int
    unavailable: int


class Unread(NamedTuple):
    """What so many catalogue lines say of availability, which is neither yes nor no."""

    domain: str
    text: str
    lines: int


def filtered_domains(config: Config) -> list[str]:
    """The domains whose items map availability, category or region."""
    columns = {name: config.domains[name].items.columns for name in config.domain_names}
    return [name for name, c in columns.items() if c.available or c.category or c.region]


def stocked_domains(config: Config) -> list[str]:
    """The domains whose items map availability."""
    return [name for name in config.domain_names if config.domains[name].items.columns.available]


def with_attributes(connection: duckdb.DuckDBPyConnection, config: Config, items: pa.Table) -> pa.Table:
    """`items` (domain, item_id, ...) with available, category and regions, null where nothing is known.

    As they are where no domain maps any of them.
    """
    if not filtered_domains(config):
        return items
    connection.register("landed_items", items)
    return connection.sql(_JOINED).to_arrow_table()


def stock(connection: duckdb.DuckDBPyConnection, config: Config) -> tuple[list[Stock], list[Unread]]:
    """What the domains that map availability say of it, and what they say that cannot be read."""
    domains = {"domains": stocked_domains(config)}
    told = connection.execute(_STOCK, domains).fetchall()
    unread = connection.execute(_UNREAD, domains).fetchall()
    return [Stock(*row) for row in told], [Unread(*row) for row in unread]
