"""The whole demo world on disk: users in chunks, one domain after the other, one day at a time.

Memory stays bounded for any number of users: the events of each chunk are spilled to disk sorted by time,
and each day is then gathered from all chunks.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from ml.demo.catalogue import Catalogue, draw_catalogue
from ml.demo.catalogue_files import count_faults, item_lines, write_items
from ml.demo.dirt import CODE, EVENT_FAULTS, day_starts, soil_events
from ml.demo.event_files import EVENT_WRITERS
from ml.demo.events import TYPES, draw_events
from ml.demo.manifest import DemoManifest, DomainManifest
from ml.demo.plan import DAYS, DOMAINS, START, USERS_PER_CHUNK, DomainPlan, WorldSize, stream
from ml.demo.render import Fields, render
from ml.demo.tastes import Users, draw_users
from ml.demo.user_files import write_users


def write_demo_world(folder: Path, size: str | int = "small", seed: int = 7) -> DemoManifest:
    """Write the demo world of `size` (`tiny`, `small` or a number of users) into `folder`.

    The same size and seed give the same bytes. A world that is there already is kept; one of other parameters
    is replaced. The folder appears whole or not at all. Raises ValueError for an unknown size and
    FileExistsError where `folder` holds anything that is not a demo world.
    """
    scale = WorldSize.of(size)
    present = DemoManifest.read(folder)
    if present and present.describes(size, seed):
        return present
    if not present and folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds files but no demo world: empty it or choose another demo.path")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        domains = {
            domain.name: _write_domain(
                beside / "world" / domain.name, beside / "spill", domain, index, scale, seed
            )
            for index, domain in enumerate(DOMAINS)
        }
        manifest = DemoManifest(size=size, seed=seed, users=scale.users, domains=domains)
        manifest.write(beside / "world")
        if folder.exists():
            folder.rename(beside / "replaced")
        (beside / "world").rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return manifest


def user_chunks(users: int, seed: int) -> Iterator[Users]:
    """All users of a world, USERS_PER_CHUNK at a time."""
    for first in range(0, users, USERS_PER_CHUNK):
        yield draw_users(first, min(USERS_PER_CHUNK, users - first), seed)


def _write_domain(
    folder: Path, spill: Path, domain: DomainPlan, index: int, scale: WorldSize, seed: int
) -> DomainManifest:
    folder.mkdir(parents=True)
    spill.mkdir()
    catalogue = draw_catalogue(domain, index, scale.items, seed)
    can_break = domain.name != "music"  # Parquet has no lines that could break
    members = 0
    for users in user_chunks(scale.users, seed):
        mine = np.flatnonzero(users.members[:, index])
        rng = np.random.default_rng(stream(seed, 2, index, users.first))
        tastes = users.media if domain.shared_taste else users.garden
        events = soil_events(draw_events(mine, users.first, tastes, catalogue, rng), can_break, rng)
        np.save(spill / f"{users.first:012d}.npy", events)
        members += len(mine)
    kinds, types = np.zeros(len(EVENT_FAULTS), int), np.zeros(len(TYPES), int)
    EVENT_WRITERS[domain.name](folder, _days(spill, domain, catalogue, kinds, types))
    shutil.rmtree(spill)
    lines = item_lines(catalogue, can_break, np.random.default_rng(stream(seed, 3, index)))
    write_items(folder, domain.name, lines)
    write_users(folder, domain.name, index, user_chunks(scale.users, seed))
    return DomainManifest(
        users=members,
        items=len(catalogue),
        events=dict(zip(EVENT_FAULTS, kinds.tolist(), strict=True)),
        event_types=dict(zip(TYPES, types.tolist(), strict=True)),
        catalogue=count_faults(lines),
    )


def _days(
    spill: Path, domain: DomainPlan, catalogue: Catalogue, kinds: np.ndarray, types: np.ndarray
) -> Iterator[tuple[date, Fields]]:
    """Each day's log lines from all chunks, in order of writing; counts them in `kinds` and `types`."""
    chunks = [np.load(path, mmap_mode="r") for path in sorted(spill.glob("*.npy"))]
    starts = [day_starts(chunk["logged"]) for chunk in chunks]
    for day in range(DAYS):
        parts = [chunk[start[day] : start[day + 1]] for chunk, start in zip(chunks, starts, strict=True)]
        events = np.concatenate(parts)
        events = events[np.argsort(events["logged"], kind="stable")]
        kinds += np.bincount(events["fault"], minlength=len(kinds))
        good = (events["fault"] == CODE["clean"]) | (events["fault"] == CODE["padded_id"])
        types += np.bincount(events["type"][good], minlength=len(types))
        yield START + timedelta(days=day), render(events, catalogue.ids, domain.name)
