{{ config(materialized='view') }}

with flagged as (
    select domain, window_start, user_id, item_id, cast(event_time as date) as day
    from {{ ref('int_event_verdicts') }}
    where reason = 'bot'
),

days as (
    select domain, window_start, user_id, day, count(*) as lines from flagged group by all
),

busiest as (
    select domain, window_start, user_id, max(lines) as busiest_day_lines from days group by all
)

select
    flagged.domain,
    flagged.window_start,
    flagged.user_id,
    count(*) as lines,
    count(distinct flagged.item_id) as items,
    busiest.busiest_day_lines
from flagged
inner join busiest
    on
        flagged.domain = busiest.domain
        and flagged.window_start = busiest.window_start
        and flagged.user_id = busiest.user_id
group by flagged.domain, flagged.window_start, flagged.user_id, busiest.busiest_day_lines
