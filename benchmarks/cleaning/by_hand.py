"""The same cleaning as one DuckDB script, as somebody would write it for this log alone: `by_hand.py FOLDER`.

It reads the file once and writes interactions, sessions and the quarantine. It matches no cancellations and
has no windows to restart, no tests and no second domain.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

began = time.perf_counter()

import duckdb  # noqa: E402

startup = time.perf_counter() - began
folder = Path(sys.argv[1])
SCRIPT = f"""
create table catalogue as
    select distinct trim(item_id) as item_id from read_csv('{folder}/items.csv', all_varchar = true);
create table judged as
with lines as (
    select row_number() over () + 1 as line, raw
    from read_csv('{folder}/log.csv', columns = {{'raw': 'varchar'}}, header = true, delim = '\x01',
        quote = '', escape = '', parallel = true)
), fields as (
    select line, raw, string_split(raw, ',') as f from lines
), typed as (
    select line, raw, len(f) as n, nullif(trim(f[1]), '') as u, nullif(trim(f[2]), '') as i,
        make_timestamptz(try_cast(f[3] as bigint) * 1000000) as t, lower(trim(f[4])) as e,
        try_cast(f[5] as double) as v
    from fields
), reasoned as (
    select typed.*, date_trunc('day', t) as day,
        case e when 'view' then 1 when 'cart' then 2 when 'purchase' then 4 when 'cancel' then 0 end weight,
        case when n <> 5 then 'unparsable' when u is null then 'missing_user'
            when i is null then 'missing_item' when t is null then 'bad_time'
            when t < timestamptz '2026-01-01' then 'before_calendar'
            when t >= timestamptz '2026-04-01' then 'future_time' when weight is null then 'unknown_event'
            when v < 0 then 'negative_value' when catalogue.item_id is null then 'orphan_item' end as reason
    from typed left join catalogue on i = catalogue.item_id
), copies as (
    select *, row_number() over (partition by raw order by line) > 1 as is_copy,
        epoch_us(t) - lag(epoch_us(t)) over (partition by reason is null, day, u, i, e order by t, line) gap
    from reasoned
), counted as (
    select *, count(*) filter (reason is null and not is_copy) over (partition by u, day) as events
    from copies
)
select * replace (case when reason is not null then reason when is_copy then 'duplicate'
    when gap <= 2000000 then 'near_duplicate' when events > 500 then 'bot' end as reason)
from counted;
create table quarantine as select line, raw, reason from judged where reason is not null;
create table interactions as
    select day, u, i, max(t) as t, coalesce(max(weight), 0) as weight, count(*) as events,
        list_sort(list(distinct e)) as types, min(line) as line
    from judged where reason is null and e <> 'cancel' group by day, u, i;
create table sessions as
with gaps as (
    select day, u, i, t, t > interval 30 minutes + lag(t) over (partition by day, u order by t) as later
    from judged where reason is null
), numbered as (
    select *, count(*) filter (later) over (partition by day, u order by t) as session from gaps
)
select day, u, session, min(t), max(t), count(*), count(distinct i) as items from numbered group by all;
"""
(folder / "home").mkdir(exist_ok=True)
connection = duckdb.connect(str(folder / "home" / "by_hand.duckdb"))
connection.execute("set threads = 2")
connection.execute("set memory_limit = '3GB'")
connection.execute("set TimeZone = 'UTC'")
connection.execute(f"set temp_directory = '{folder / 'home' / 'spill'}'")
connection.execute(SCRIPT)
counts = {
    "lines": dict(
        connection.execute("select coalesce(reason, 'kept'), count(*) from judged group by 1").fetchall()
    )
}
for table, query in {
    "interactions": "select count(*), sum(weight) from interactions",
    "sessions": "select count(*), sum(items) from sessions",
}.items():
    counts[table] = [round(float(number)) for number in connection.execute(query).fetchone()]
print(json.dumps({"startup": startup, **counts}))
