{{ config(materialized='windowed') }}

with lines as (
    select * from {{ ref('int_line_verdicts') }} where {{ in_span() }}
),

copies as (
    select * from {{ ref('int_exact_duplicates') }} where {{ in_span() }}
),

near_copies as (
    select * from {{ ref('int_near_duplicates') }} where {{ in_span() }}
),

bot_days as (
    select * from {{ ref('int_bot_days') }} where {{ in_span() }}
),

judged as (
    select
        lines.* replace (
            case
                when lines.reason is not null then lines.reason
                when copies.source_line is not null then 'duplicate'
                when near_copies.source_line is not null then 'near_duplicate'
                when bot_days.day is not null then 'bot'
            end as reason
        )
    from lines
    left join copies
        on lines.domain = copies.domain
        and lines.window_start = copies.window_start
        and lines.source_file = copies.source_file
        and lines.source_line = copies.source_line
    left join near_copies
        on lines.domain = near_copies.domain
        and lines.window_start = near_copies.window_start
        and lines.source_file = near_copies.source_file
        and lines.source_line = near_copies.source_line
    left join bot_days
        on lines.domain = bot_days.domain
        and lines.window_start = bot_days.window_start
        and lines.person = bot_days.person
        and cast(lines.event_time as date) = bot_days.day
)

select
    domain,
    window_start,
    source_file,
    source_line,
    person as user_id,
    item_id,
    event_time,
    event_type,
    weight,
    quantity,
    cancels,
    case when reason is null then review end as review,
    case when reason is null and review is not null then value end as rating,
    case when reason is not null then raw_line end as raw_line,
    reason
from judged
