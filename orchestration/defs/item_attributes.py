"""Availability: can what a catalogue says of it be read, and does it leave anything to recommend?

Both would go unnoticed otherwise: what cannot be read counts as available, and where nothing is available
every list is empty.
"""

import dagster as dg

from orchestration.config import Config
from orchestration.item_attributes import Stock, Unread, stock, stocked_domains
from orchestration.partitions import CONFIG
from orchestration.resources.warehouse import Warehouse

EXAMPLES = 10

if stocked_domains(CONFIG):

    @dg.asset_check(
        asset=["marts", "dim_items"],
        description="What catalogues say of availability is read, and something is available.",
        pool="warehouse",
    )
    def availability(warehouse: Warehouse) -> dg.AssetCheckResult:
        """Warns where a text is neither yes nor no, and where a domain has nothing available."""
        with warehouse.read() as connection:
            return availability_result(*stock(connection, CONFIG), CONFIG)


def availability_result(told: list[Stock], unread: list[Unread], config: Config) -> dg.AssetCheckResult:
    """The check's result; what to do about each fault stands in its description."""
    lines = {
        domain: sum(u.lines for u in unread if u.domain == domain) for domain in {u.domain for u in unread}
    }
    first = {u.domain: u.text for u in reversed(unread)}
    faults = [
        f"{domain}: {count:,} catalogue lines say {first[domain]!r} or the like of availability, which "
        f"counts as available; map domains.{domain}.items.columns.available to yes/no, true/false or units "
        f"in stock, for example \"{_mapped(config, domain)} = '...'\""
        for domain, count in sorted(lines.items())
    ]
    faults += [
        f"{one.domain}: none of {one.items:,} items is available, so its lists are empty; correct "
        f"domains.{one.domain}.items.columns.available ({_mapped(config, one.domain)})"
        for one in told
        if one.items and one.unavailable == one.items
    ]
    shown = "\n".join(f"| {u.domain} | {u.text} | {u.lines:,} |" for u in unread[:EXAMPLES])
    table = f"| domain | said of availability | lines |\n| :-- | :-- | --: |\n{shown}"
    return dg.AssetCheckResult(
        passed=not faults,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(faults) or "Availability is read for every line that tells it.",
        metadata={
            **({"unread": dg.MetadataValue.md(table)} if unread else {}),
            **{f"{one.domain}/items": one.items for one in told},
            **{f"{one.domain}/availability told": one.told for one in told},
            **{f"{one.domain}/unavailable": one.unavailable for one in told},
        },
    )


def _mapped(config: Config, domain: str) -> str | None:
    return config.domains[domain].items.columns.available
