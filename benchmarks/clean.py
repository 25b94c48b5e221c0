"""Cleaning speed: ingest and dbt beside one hand-written DuckDB script and pandas, on generated logs.

Each contender is a process of its own on the same file: seconds from start to exit, peak memory of all below.
All three must agree on the number of lines by reason, of interactions and of sessions, or the run fails.

    python benchmarks/clean.py --lines 1000000 5000000 20000000
    python benchmarks/clean.py --lines 1000000 --shuffled      # a file that is not in the order of time
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb

FOLDER = Path(__file__).parent / "cleaning"
CONTENDERS = {"landbridge": "ours.py", "DuckDB by hand": "by_hand.py", "pandas": "by_pandas.py"}
PANDAS_AT_MOST = 5_000_000  # it holds the whole log in memory several times over

# Lines in the order of time, as a log is written, give or take some minutes. Users and items by a power law.
# Every kind of dirt the rules know: about six lines in a hundred.
_LOG = """
copy (
    with drawn as (
        select i, hash(i, 1) / 18446744073709551616.0 as a, hash(i, 2) / 18446744073709551616.0 as b,
            hash(i, 3) / 18446744073709551616.0 as c, hash(i, 4) / 18446744073709551616.0 as d,
            cast(hash(i, 5) % 1000 as integer) as fault
        from range({lines}) t(i)
    ), clean as (
        select i, fault,
            case when i between {lines} * 0.3 and {lines} * 0.301 + 1000 then 'crawler'
                else 'u' || cast(floor({users} * a * a) as bigint) end as user_id,
            case when fault between 2 and 6 then 'nowhere'
                else 'item' || cast(floor({items} * b * b) as bigint) end as item_id,
            1767225600 + cast((i + 2000 * c) / ({lines} + 2001) * 86400 * 90 as bigint) as ts,
            case when d < 0.7 then 'view' when d < 0.85 then 'cart'
                when d < 0.98 then 'purchase' else 'cancel' end as event,
            cast(floor(5000 * c) as integer) / 100 as value
        from drawn
    ), lines as (
        select i, case
            when fault = 7 then 'cut off'
            when fault = 8 then concat_ws(',', '', item_id, ts, event, value)
            when fault = 9 then concat_ws(',', user_id, item_id, 'yesterday', event, value)
            when fault = 10 then concat_ws(',', user_id, item_id, ts, 'stare', value)
            when fault = 11 then concat_ws(',', user_id, item_id, ts, event, -1)
            else concat_ws(',', user_id, item_id, ts, event, value) end as line,
            -- shipped twice; clicked twice
            case when fault between 12 and 19 then line
                when fault between 20 and 29 then concat_ws(',', user_id, item_id, ts + 1, event, value)
                end as again
        from clean
    ), all_lines as (
        select i, line from lines union all select i + 300, again from lines where again is not null
    )
    select line as "user_id,item_id,ts,event,value" from all_lines order by {order}
) to '{path}' (header, quote '', delimiter '\t', escape '')
"""


def write_log(folder: Path, lines: int, shuffled: bool) -> Path:
    """The log and its catalogue; the same for the same arguments."""
    items = 50_000
    path = folder / "log.csv"
    order = "hash(i, line)" if shuffled else "i, line"
    with duckdb.connect(config={"threads": 2, "temp_directory": str(folder / "spill")}) as connection:
        connection.execute(
            _LOG.format(lines=lines, users=max(1000, lines // 20), items=items, path=path, order=order)
        )
        connection.execute(
            f"copy (select 'item' || i as item_id, 'the title of ' || i as title from range({items}) t(i)) "
            f"to '{folder / 'items.csv'}' (header)"
        )
    return path


def set_up(folder: Path) -> None:
    """Parse the dbt project, which is done once a home and not once a run."""
    code = "from orchestration.resources.dbt import dbt_project; dbt_project()"
    environment = {**os.environ, "LANDBRIDGE_HOME": str(folder / "home")}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1], env=environment)


def measure(program: str, folder: Path) -> dict[str, Any]:
    """One contender in a process of its own: seconds, CPU seconds, peak GiB, and what it counted.

    `startup` of the seconds went into importing (for us Dagster, and dbt in a process of its own).
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(FOLDER / "peak.py"), str(FOLDER / program), str(folder)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise SystemExit(f"{program} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    said = json.loads(done.stdout.strip().splitlines()[-1])
    startup = said["counts"].pop("startup")
    return {
        "seconds": seconds,
        "startup": startup,
        "cpu": cpu,
        "gib": said["peak_gib"],
        "counts": said["counts"],
    }


def compare(lines: int, shuffled: bool, scratch: Path | None) -> None:
    """Every contender on a log of so many lines, side by side."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        size = write_log(folder, lines, shuffled).stat().st_size
        found = {}
        set_up(folder)
        for contender, program in CONTENDERS.items():
            if contender == "pandas" and lines > PANDAS_AT_MOST:
                continue
            found[contender] = measure(program, folder)
            shutil.rmtree(folder / "home", ignore_errors=True)
        expected = found["landbridge"]["counts"]
        for contender, result in found.items():
            if result["counts"] != expected:
                raise SystemExit(f"{contender} counts {result['counts']}, landbridge {expected}")
        print(
            f"\n{sum(expected['lines'].values()):,} lines, {size / 2**20:,.0f} MiB{', shuffled' * shuffled}"
        )
        print("  " + ", ".join(f"{reason} {count:,}" for reason, count in sorted(expected["lines"].items())))
        ours = found["landbridge"]
        total = sum(expected["lines"].values())
        print(f"  {'':15}      all   start-up     CPU    lines/s     peak   ours is so many times its time")
        print(f"  {'':15}                                                  all   without start-up")
        for contender, its in found.items():
            whole = ours["seconds"] / its["seconds"]
            working = (ours["seconds"] - ours["startup"]) / (its["seconds"] - its["startup"])
            print(
                f"  {contender:15} {its['seconds']:6.1f} s {its['startup']:8.1f} s {its['cpu']:5.0f} s "
                f"{total / its['seconds']:10,.0f} {its['gib']:5.2f} GiB {whole:8.2f} {working:8.2f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--shuffled", action="store_true", help="lines in no order of time")
    parser.add_argument("--scratch", type=Path, help="where the files are written; default: the system's")
    arguments = parser.parse_args()
    for lines in arguments.lines:
        compare(lines, arguments.shuffled, arguments.scratch)


if __name__ == "__main__":
    main()
