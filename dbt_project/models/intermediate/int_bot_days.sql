with thresholds as (
    select domain, bot_events_per_day, bot_items_per_day
    from {{ source('raw', 'domain_settings') }}
    where coalesce(bot_events_per_day, bot_items_per_day) is not null
),

-- Who touches many items sends at least as many lines: the busy days are looked at closer, not all.
busy as (
    select
        lines.domain,
        lines.window_start,
        lines.person,
        cast(lines.event_time as date) as day,
        any_value(thresholds.bot_events_per_day) as most_events,
        any_value(thresholds.bot_items_per_day) as most_items
    from {{ ref('int_line_verdicts') }} as lines
    inner join thresholds on lines.domain = thresholds.domain
    where lines.reason is null
    group by all
    having count(*) > least(any_value(thresholds.bot_events_per_day), any_value(thresholds.bot_items_per_day))
)

select
    busy.domain,
    busy.window_start,
    busy.person,
    busy.day,
    count(*) as events,
    count(distinct lines.item_id) as items
from busy
inner join {{ ref('int_line_verdicts') }} as lines
    on busy.domain = lines.domain
    and busy.window_start = lines.window_start
    and busy.person = lines.person
    and busy.day = cast(lines.event_time as date)
-- A log that was shipped twice makes nobody a bot.
left join {{ ref('int_exact_duplicates') }} as copies
    on lines.domain = copies.domain
    and lines.window_start = copies.window_start
    and lines.source_file = copies.source_file
    and lines.source_line = copies.source_line
where lines.reason is null and copies.source_line is null
group by busy.domain, busy.window_start, busy.person, busy.day, busy.most_events, busy.most_items
having count(*) > busy.most_events or count(distinct lines.item_id) > busy.most_items
