{{ config(materialized='incremental', incremental_strategy='replace_span', on_schema_change='fail') }}

with events as (
    select * from {{ ref('stg_events') }} where {{ in_span() }}
),

settings as (
    select * from {{ source('raw', 'domain_settings') }}
),

weights as (
    select * from {{ source('raw', 'event_weights') }}
),

catalogue as (
    select distinct domain, item_id from {{ ref('stg_items') }} where reason is null
),

people as (
    select domain, user_id, min(shared_id) as shared_id from {{ source('raw', 'identity_map') }} group by all
),

joined as (
    select
        events.*,
        case
            when settings.identity = 'shared' then events.user_id
            else coalesce(people.shared_id, events.domain || ':' || events.user_id)
        end as person,
        case when events.domain in (select domain from weights) then weights.weight else 1 end as weight,
        catalogue.item_id is null as is_orphan,
        events.event_time < settings.calendar_start as is_early,
        -- A file that is not split by date holds no line of another window, unless its time lies in none.
        events.event_time >= settings.horizon
        or (not settings.dated_files and events.event_time >= events.window_start + settings.window_step) as is_late,
        row_number() over (
            partition by events.domain, events.window_start, events.raw_line
            order by events.source_file, events.source_line
        ) as copy
    from events
    inner join settings on events.domain = settings.domain
    left join weights on events.domain = weights.domain and events.event_type = weights.event_type
    left join catalogue on events.domain = catalogue.domain and events.item_id = catalogue.item_id
    left join people on events.domain = people.domain and events.user_id = people.user_id
),

judged as (
    select
        *,
        case
            when error is not null then 'unparsable'
            when user_id is null then 'missing_user'
            when item_id is null then 'missing_item'
            when event_time is null then 'bad_time'
            when is_early then 'before_calendar'
            when is_late then 'future_time'
            when weight is null then 'unknown_event'
            when value < 0 then 'negative_value'
            when copy > 1 then 'duplicate'
            when is_orphan then 'orphan_item'
        end as reason
    from joined
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
    case when reason is not null then raw_line end as raw_line,
    reason
from judged
