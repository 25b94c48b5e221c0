"""Runs a contender and adds the peak memory of it and its children: `peak.py PROGRAM FOLDER`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

PAGE = 4096


def resident(pid: int) -> int:
    """Bytes that a process and all below it hold now."""
    total = 0
    try:
        total = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += sum(map(resident, map(int, (task / "children").read_text().split())))
    except (OSError, ValueError):  # it has just ended
        pass
    return total


def main() -> None:
    process = subprocess.Popen([sys.executable, *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
    over, peak = threading.Event(), [0]

    def watch() -> None:
        while not over.wait(0.1):
            peak[0] = max(peak[0], resident(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    said, _ = process.communicate()
    over.set()
    watcher.join()
    if process.returncode:
        sys.exit(process.returncode)
    print(json.dumps({"counts": json.loads(said.strip().splitlines()[-1]), "peak_gib": peak[0] / 2**30}))


if __name__ == "__main__":
    main()
