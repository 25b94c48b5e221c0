"""What users were shown: every list that was served, kept, so that what they took can be held against it.

`recommendations/<target>.parquet` is replaced by the next lists. What it held stays in
`served/<target>/<as_of>-v<version>-<served at>.parquet`: the same file under a second name, so that keeping
it costs no writing, and no disk until it is replaced. A time in the name, because a version that is approved,
rolled back and approved again is served twice.
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

from orchestration.config import Home
from orchestration.files import replaced_file

_TIME = "%Y%m%dT%H%M%S.%fZ"
_NAME = re.compile(r"(?P<as_of>\d{4}-\d\d-\d\d)-v(?P<version>\d+)-(?P<at>\d{8}T\d{6}\.\d{6}Z)\.parquet")


@dataclass(frozen=True)
class Served:
    """Lists of one target as they were served: by which model version, as of which day, since when."""

    path: Path
    as_of: date
    version: int
    served_at: datetime

    @classmethod
    def of(cls, path: Path) -> Served | None:
        """What a file of the archive says of itself by its name; None for any other file."""
        found = _NAME.fullmatch(path.name)
        if found is None:
            return None
        served_at = datetime.strptime(found["at"], _TIME).replace(tzinfo=UTC)
        return cls(path, date.fromisoformat(found["as_of"]), int(found["version"]), served_at)


@dataclass(frozen=True)
class Period:
    """When events may answer to served lists: [start, end), end None where nothing replaced them yet.

    shown: whether the log goes on after the lists were written. Where it does not, nobody has seen them:
    history was replayed, and what is counted is what they would have hit from their as-of on.
    """

    served: Served
    start: datetime
    end: datetime | None
    shown: bool


def archive(home: Home, target: str) -> list[Served]:
    """All lists that are kept of a target, in the order in which they were served."""
    found = [Served.of(path) for path in (home.served / target).glob("*.parquet")]
    return sorted((served for served in found if served), key=lambda served: served.served_at)


def keep(
    home: Home, target: str, lists: Path, as_of: date, version: int, at: datetime, most: int
) -> Path | None:
    """Keep lists that were just written as served from `at` on, at most `most` of a target: the oldest go.

    Lists that equal the last ones kept are what users see already; the path is then the one that is there.
    None where `most` is 0: nothing is kept, and what was kept before is removed.
    """
    before = archive(home, target)
    if most and before and _same(before[-1], lists, as_of, version):
        return before[-1].path
    path = home.served / target / f"{as_of}-v{version}-{at.astimezone(UTC).strftime(_TIME)}.parquet"
    if most:
        with replaced_file(path) as beside:
            _second_name(lists, beside)
    for served in before[: max(0, len(before) + 1 - most)]:
        served.path.unlink()
    return path if most else None


def _same(last: Served, lists: Path, as_of: date, version: int) -> bool:
    return (last.as_of, last.version) == (as_of, version) and filecmp.cmp(last.path, lists, shallow=False)


def _second_name(file: Path, name: Path) -> None:
    """Lists are replaced and never changed in place, so a link holds what they were."""
    name.unlink(missing_ok=True)
    try:
        os.link(file, name)
    except OSError:  # a file system without links
        shutil.copyfile(file, name)


def periods(served: Sequence[Served], log_end: datetime) -> list[Period]:
    """What each of the kept lists answers for, given the time of the log's last event.

    Lists count from when they were written. Where the log ends before that, they count from their as-of;
    lists with the same start then share their events, so that versions can be compared on them.
    """
    starts = [_start(each, log_end) for each in served]
    found = []
    for each, start in zip(served, starts, strict=True):
        end = min((later for later in starts if later > start), default=None)
        found.append(Period(each, start, end, shown=each.served_at <= log_end))
    return found


def _start(served: Served, log_end: datetime) -> datetime:
    return served.served_at if served.served_at <= log_end else datetime.combine(served.as_of, time(), UTC)
