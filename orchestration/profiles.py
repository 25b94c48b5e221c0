"""Users in words: what `user_profiles` writes, and where the review card and generated summaries read it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.config import Config, Home
from orchestration.documents import documents_of
from orchestration.files import replaced_file
from orchestration.review.card import UserWords

if TYPE_CHECKING:
    import pyarrow as pa

    from ml.data import Catalogue, Snapshot

KEYWORDS = 10
SHOWN_KEYWORDS = 6


def profiles_path(home: Home, as_of_key: str) -> Path:
    """Where profiles lie: user_id, domain, keywords (list of words), text (the keywords in one line)."""
    return home.root / "profiles" / f"{as_of_key}.parquet"


def write_profiles(path: Path, snapshot: Snapshot, config: Config, home: Home) -> dict[str, int]:
    """One row for every user and domain with a keyword, sorted by domain, then user; domain -> rows."""
    import pyarrow.parquet as pq

    rows, schema = {}, _schema()
    with replaced_file(path) as beside, pq.ParquetWriter(beside, schema, compression="zstd") as writer:
        for domain in snapshot.domains:
            documents = documents_in_order(documents_of(home, domain), snapshot.catalogues[domain])
            table = profiles_of(snapshot, domain, documents, config.domains[domain].language)
            writer.write_table(table.cast(schema))
            rows[domain] = len(table)
    return rows


def _schema() -> pa.Schema:
    import pyarrow as pa

    from ml import columns as c

    return pa.schema(
        [
            (c.USER_ID, pa.string()),
            (c.DOMAIN, pa.string()),
            ("keywords", pa.list_(pa.string())),
            ("text", pa.string()),
        ]
    )


def documents_in_order(documents: pa.Table, catalogue: Catalogue) -> list[str | None]:
    """(n,) the text of every item of the catalogue; of an item that has left the documents, its title."""
    from ml import columns as c

    known = dict(zip(documents[c.ITEM_ID].to_pylist(), documents["document"].to_pylist(), strict=True))
    pairs = zip(catalogue.item_ids.tolist(), catalogue.titles.tolist(), strict=True)
    return [known.get(item, title) for item, title in pairs]


def profiles_of(snapshot: Snapshot, domain: str, documents: Sequence[str | None], language: str) -> pa.Table:
    """The profiles of one domain's users; `documents` (n,) are its items' texts."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from ml.text.words.keywords import keywords, terms_of
    from ml.text.words.segment import separator

    history = snapshot.interactions[domain].matrix()
    present = np.flatnonzero(np.diff(history.indptr))
    lists = keywords(history[present], terms_of(documents, language), KEYWORDS)
    texts = pc.binary_join(lists, separator(language))
    columns = [pa.array(snapshot.users[present], pa.string()), pa.repeat(domain, len(present)), lists, texts]
    table = pa.table(columns, names=_schema().names)
    return table.filter(pc.greater(pc.list_value_length(table["keywords"]), 0))


def read_profiles(home: Home, as_of_key: str, users: Iterable[str] | None = None) -> pa.Table:
    """The profiles of an as-of key, all or those of some users; FileNotFoundError where there are none."""
    import pyarrow.parquet as pq

    from ml import columns as c

    path = profiles_path(home, as_of_key)
    if not path.exists():
        raise FileNotFoundError(f"no user profiles as of {as_of_key}: materialise user_profiles first")
    return pq.read_table(path, filters=None if users is None else [(c.USER_ID, "in", list(users))])


def sample_for_card(
    snapshot: Snapshot, target: str, sources: Sequence[str], home: Home, as_of_key: str, seed: int = 0
) -> list[UserWords]:
    """Two users of every cohort with their keywords in the target and its sources; empty without profiles."""
    if not profiles_path(home, as_of_key).exists():
        return []
    cohorts = _sample(snapshot, target, sources, seed)
    found = {
        (r["user_id"], r["domain"]): r["keywords"]
        for r in read_profiles(home, as_of_key, cohorts).to_pylist()
    }
    return [
        UserWords(user, cohort, domain, found[user, domain][:SHOWN_KEYWORDS])
        for user, cohort in cohorts.items()
        for domain in (target, *sources)
        if (user, domain) in found
    ]


def _sample(snapshot: Snapshot, target: str, sources: Sequence[str], seed: int) -> dict[str, str]:
    """user -> cohort: two of each cohort, of those who are known in a source where there are any."""
    import numpy as np

    from ml.metrics.cohorts import USER_COHORTS, user_cohort

    random = np.random.default_rng(seed)
    own = snapshot.interactions[target].counts()
    elsewhere = np.zeros(len(own), dtype=np.int64)
    for source in sources:
        elsewhere += snapshot.interactions[source].counts()
    names, chosen = user_cohort(own), {}
    for cohort in USER_COHORTS:
        members = np.flatnonzero((names == cohort) & (own + elsewhere > 0))
        members = members[elsewhere[members] > 0] if (elsewhere[members] > 0).any() else members
        for user in np.sort(random.permutation(members)[:2]):
            chosen[str(snapshot.users[user])] = cohort
    return chosen
