with lines as (
    select lines.*, settings.near_duplicate_seconds
    from {{ ref('int_line_verdicts') }} as lines
    inner join {{ source('raw', 'domain_settings') }} as settings on lines.domain = settings.domain
    where lines.reason is null and settings.near_duplicate_seconds is not null
),

gaps as (
    select
        domain,
        window_start,
        source_file,
        source_line,
        near_duplicate_seconds,
        epoch_us(event_time) - lag(epoch_us(event_time)) over (
            partition by domain, window_start, person, item_id, event_type
            order by event_time, source_file, source_line
        ) as microseconds
    from lines
)

-- Measured from the line before, kept or not: a hundred clicks a second apart are one.
select domain, window_start, source_file, source_line
from gaps
where microseconds <= near_duplicate_seconds * 1000000
