"""Language: do the texts of a domain read as the language that the configuration names?

Stop words and segmentation follow the configured language; a wrong one would quietly spoil the keywords.
"""

from typing import TYPE_CHECKING

import dagster as dg

from orchestration.config import Config, Home
from orchestration.partitions import CONFIG

if TYPE_CHECKING:
    from ml.text.words.language import Detected

FEW_TEXTS = 20


@dg.asset_check(asset="item_texts", description="The texts are in the language that the configuration names.")
def language_matches() -> dg.AssetCheckResult:
    """Judges every domain whose texts are there, so that a run for one does not hide what another has."""
    from ml.text.words.language import detect, sampled
    from orchestration.documents import documents_of, documents_path

    home, found = Home(), {}
    for domain in CONFIG.domain_names:
        if documents_path(home, domain).exists():
            texts = documents_of(home, domain)["document"].drop_null().to_pylist()
            found[domain] = detect(sampled(texts))
    return language_result(found, CONFIG)


def language_result(found: "dict[str, Detected]", config: Config) -> dg.AssetCheckResult:
    """Warns, with advice, where most texts of a domain are in another language; few texts prove nothing."""
    told = {name: config.domains[name].language for name in found}
    wrong = [name for name, seen in found.items() if seen.texts >= FEW_TEXTS and not seen.agrees(told[name])]
    advice = "; ".join(
        f"{name}: {found[name].shares[str(found[name].main)]:.0%} of the sampled texts read as "
        f"{found[name].main}, domains.{name}.language says {told[name]}. Set it to {found[name].main}, or "
        "see whether items.path and items.encoding are those of this domain"
        for name in wrong
    )
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=dg.AssetCheckSeverity.WARN,
        description=advice or "Every domain's texts read as the language it names.",
        metadata={f"languages/{name}": _shares(seen) for name, seen in found.items()},
    )


def _shares(seen: "Detected") -> str:
    shares = ", ".join(f"{language} {share:.0%}" for language, share in list(seen.shares.items())[:3])
    return f"{shares or 'none recognised'} ({seen.texts:,} texts)"
