"""Modalities: what a domain knows of its items besides text. Only where one has `modalities:` configured."""

from collections.abc import Iterator, Mapping

import dagster as dg

from orchestration.config import Home
from orchestration.defs.texts import item_texts
from orchestration.documents import documents_of
from orchestration.landing.sources import SourceError
from orchestration.modalities import Landed, domains_with_modalities, land_modality
from orchestration.partitions import CONFIG, DOMAINS

CHECK = "every_vector_is_used"

if domains_with_modalities(CONFIG):

    @dg.asset(
        partitions_def=DOMAINS,
        deps=[item_texts],
        group_name="features",
        kinds={"python", "parquet"},
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset="item_modalities",
                description="Every row of the modalities' files belongs to an item and is a vector or image.",
            )
        ],
    )
    def item_modalities(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
        """A domain's own vectors and images, one vector an item in `modalities/<domain>/<name>.parquet`."""
        from ml.text.encoding.source import EncoderError

        home = Home()
        landed: dict[str, Landed] = {}
        for domain in context.partition_keys:
            known = documents_of(home, domain)["item_id"].combine_chunks()
            try:
                found = {
                    name: land_modality(CONFIG, home, domain, name, known, context.log.info)
                    for name in CONFIG.domains[domain].modalities
                }
            except (SourceError, EncoderError) as error:
                raise dg.Failure(description=str(error), allow_retries=False) from error
            landed |= {f"{domain}.{name}": each for name, each in found.items()}
            context.add_asset_metadata(figures(found, len(known)), partition_key=domain)
        yield dg.MaterializeResult()
        yield vectors_check(landed)


def figures(landed: Mapping[str, Landed], items: int) -> dict[str, object]:
    """Metadata of one domain's modalities; the rows left out as a table with the places of some."""
    found: dict[str, object] = {"modalities": ", ".join(landed) or "none"}
    for name, each in landed.items():
        found |= {
            f"{name}/rows": each.rows,
            f"{name}/items": each.kept,
            f"{name}/dimension": each.dimension,
            f"{name}/coverage": round(each.kept / items, 4) if items else 0.0,
            f"{name}/images embedded now": each.embedded,
        }
    if lines := fault_records(landed):
        found["left out"] = dg.MetadataValue.table(lines)
    return found


def fault_records(landed: Mapping[str, Landed]) -> list[dg.TableRecord]:
    """One row for each modality and reason."""
    return [
        dg.TableRecord(
            {"modality": name, "reason": f.reason, "rows": f.rows, "for example": ", ".join(f.examples)}
        )
        for name, each in landed.items()
        for f in each.faults
    ]


def vectors_check(landed: Mapping[str, Landed]) -> dg.AssetCheckResult:
    """Warns where rows were left out: their items have no vector, and nothing else is wrong with the run."""
    faulty = sorted(name for name, each in landed.items() if not each.sound)
    told = (
        f"{', '.join(faulty)}: rows were left out or there are none at all, so their items have no vector; "
        "the table names reasons and lines. Mend the file and materialise item_modalities again"
    )
    records = fault_records(landed)
    return dg.AssetCheckResult(
        passed=not faulty,
        check_name=CHECK,
        severity=dg.AssetCheckSeverity.WARN,
        description=told if faulty else "Every row gave its item a vector.",
        metadata={"left out": dg.MetadataValue.table(records)} if records else {},
    )
