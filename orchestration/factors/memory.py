"""How much memory this process may use: what the machine has, or less where a container is given less."""

from __future__ import annotations

import os
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


def usable_memory(groups: Path = _GROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Bytes: the least of the machine's memory and the limits of the control groups the process is in."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    files = [groups / "memory" / "memory.limit_in_bytes"]  # version 1; what follows is version 2
    lines = own.read_text().splitlines() if own.exists() else []
    for group in (line.removeprefix("0::/") for line in lines if line.startswith("0::/")):
        files += [folder / "memory.max" for folder in (groups / group, *(groups / group).parents)]
    limits = [file.read_text().strip() for file in files if file.is_file()]
    return min([machine, *(int(limit) for limit in limits if limit.isdigit())])
