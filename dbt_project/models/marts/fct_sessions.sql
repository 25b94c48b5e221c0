{{ config(materialized='windowed') }}

with kept as (
    select domain, window_start, user_id, item_id, event_time
    from {{ ref('int_event_verdicts') }}
    where reason is null and {{ in_span() }}
),

settings as (
    select domain, session_gap from {{ source('raw', 'domain_settings') }}
),

-- A session ends with its window: a window can then be rebuilt without looking at its neighbours, and the sum of
-- the windows is a full refresh. One that runs over midnight counts as two.
opened as (
    select
        kept.*,
        kept.event_time > settings.session_gap + lag(kept.event_time) over (
            partition by kept.domain, kept.window_start, kept.user_id order by kept.event_time
        ) as is_late
    from kept
    inner join settings on kept.domain = settings.domain
),

numbered as (
    select
        *,
        1 + count(*) filter (is_late) over (
            partition by domain, window_start, user_id order by event_time
        ) as session_number
    from opened
)

select
    domain,
    window_start,
    user_id,
    cast(session_number as integer) as session_number,
    min(event_time) as started_at,
    max(event_time) as ended_at,
    count(*) as events,
    count(distinct item_id) as items
from numbered
group by all
