"""What was planted, counted: the truth that quarantine and quality reports are compared with."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE = "demo_manifest.json"
# Raise it with every change of what is generated: worlds of older versions are then built again.
VERSION = 2


@dataclass(frozen=True)
class DomainManifest:
    """Counts of one domain.

    users: members. items: distinct items of the catalogue. events, catalogue: lines by kind
    (dirt.EVENT_FAULTS, catalogue_files.ITEM_FAULTS), each line once, so that the sum is the number of lines.
    event_types: lines of kinds `clean` and `padded_id` by event type.
    """

    users: int
    items: int
    events: dict[str, int]
    event_types: dict[str, int]
    catalogue: dict[str, int]

    @property
    def event_lines(self) -> int:
        """Lines of the log, good and bad, without headers."""
        return sum(self.events.values())

    @property
    def good_events(self) -> int:
        """Lines that a correct pipeline keeps."""
        return self.events["clean"] + self.events["padded_id"]


@dataclass(frozen=True)
class DemoManifest:
    """The parameters of a demo world and what it holds, by domain."""

    size: str | int
    seed: int
    users: int
    version: int = VERSION
    domains: dict[str, DomainManifest] = field(default_factory=dict)

    def describes(self, size: str | int, seed: int) -> bool:
        """Whether the world is the one of these parameters, as today's code would write it."""
        return (self.size, self.seed, self.version) == (size, seed, VERSION)

    def write(self, folder: Path) -> None:
        """Write `demo_manifest.json` into `folder`."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> DemoManifest | None:
        """The manifest in `folder` (of another version: without counts); None where there is none."""
        if not (folder / FILE).is_file():
            return None
        document = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if document["version"] != VERSION:
            return cls(document["size"], document["seed"], document["users"], document["version"])
        domains = {name: DomainManifest(**domain) for name, domain in document.pop("domains").items()}
        return cls(**document, domains=domains)
