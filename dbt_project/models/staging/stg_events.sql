with events as (
    select * from {{ source('raw', 'events') }}
),

settings as (
    select * from {{ source('raw', 'domain_settings') }}
),

cleaned as (
    select
        -- where it stands
        events.domain,
        events.window_start,
        events.source_file,
        events.source_line,
        -- who, what, when
        nullif(trim(events.user_id), '') as user_id,
        nullif(trim(events.item_id), '') as item_id,
        events.occurred_at as event_time,
        -- how
        case
            when settings.event_is_mapped then nullif(lower(trim(events.event_type)), '')
            else lower(trim(settings.default_event))
        end as event_type,
        try_cast(trim(events.value) as double) as value,
        abs(try_cast(trim(events.quantity) as double)) as quantity,
        nullif(trim(events.review), '') as review,
        -- for the quarantine
        events.raw_line,
        events.error
    from events
    inner join settings on events.domain = settings.domain
)

select * from cleaned
