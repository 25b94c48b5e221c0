"""What is generated: the four domains, the calendar and how large a world of a given size is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

START = date(2026, 1, 1)
DAYS = 90
DAY = 86_400  # seconds
EPOCH_START = int(datetime(START.year, START.month, START.day, tzinfo=UTC).timestamp())
THEMES, TONES = 12, 4
MIN_USERS = 10
# Users are generated in chunks of this many, so that memory does not grow with their number.
USERS_PER_CHUNK = 20_000


@dataclass(frozen=True)
class DomainPlan:
    """One domain. member: share of all users it has. shared_taste: whether it shares the media's tastes."""

    name: str
    prefix: str
    member: float
    shared_taste: bool


DOMAINS = (
    DomainPlan("films", "F", 0.65, True),
    DomainPlan("books", "B", 0.60, True),
    DomainPlan("music", "M", 0.60, True),
    DomainPlan("garden", "G", 0.50, False),
)


@dataclass(frozen=True)
class WorldSize:
    """Users of the whole world and items of each domain."""

    users: int
    items: int

    @classmethod
    def of(cls, size: str | int) -> WorldSize:
        """`tiny`, `small`, or a number of users >= MIN_USERS (catalogues grow with its square root)."""
        if size in NAMED_SIZES:
            return NAMED_SIZES[str(size)]
        if isinstance(size, bool) or not isinstance(size, int) or size < MIN_USERS:
            raise ValueError(f"demo size {size!r}: expected tiny, small or a number of users >= {MIN_USERS}")
        return cls(users=size, items=int(min(max(600 * (size / 3000) ** 0.5, 80), 20_000)))


NAMED_SIZES = {"tiny": WorldSize(300, 80), "small": WorldSize(3000, 600)}


def stream(seed: int, *path: int) -> tuple[int, ...]:
    """The entropy of one independent random stream: `np.random.default_rng(stream(seed, ...))`."""
    return (seed, *path)
