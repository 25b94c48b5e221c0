{{ config(materialized='windowed') }}

with kept as (
    select * from {{ ref('int_event_verdicts') }} where reason is null and cancels is null and {{ in_span() }}
)

select
    domain,
    window_start,
    user_id,
    item_id,
    max(event_time) as event_time,
    -- Looking ten times is no purchase: the strongest event counts once, each negative one (a dislike) does.
    coalesce(max(weight) filter (weight > 0), 0) + coalesce(sum(weight) filter (weight < 0), 0) as weight,
    cast(count(*) as integer) as events,
    array_to_string(list_sort(list(distinct event_type)), ',') as event_types,
    first(source_file order by event_time, source_file, source_line) as source_file,
    first(source_line order by event_time, source_file, source_line) as source_line
from kept
group by domain, window_start, user_id, item_id
