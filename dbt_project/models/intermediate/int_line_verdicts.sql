with events as (
    select * from {{ ref('stg_events') }}
),

settings as (
    select * from {{ source('raw', 'domain_settings') }}
),

weights as (
    select * from {{ source('raw', 'event_weights') }}
),

cancellations as (
    select * from {{ source('raw', 'cancellations') }}
),

people as (
    select domain, user_id, min(shared_id) as shared_id from {{ source('raw', 'identity_map') }} group by all
),

known as (
    select
        events.*,
        {{ person('events') }} as person,
        cancellations.cancels,
        case
            when cancellations.cancels is not null then 0
            when settings.weighs_events then weights.weight
            else 1
        end as weight,
        settings.rejects_zero_value,
        events.event_time < settings.calendar_start as is_early,
        -- A file that is not split by date holds no line of another window, unless its time lies in none.
        events.event_time >= settings.horizon
        or (not settings.dated_files and events.event_time >= events.window_start + settings.window_step) as is_late,
        fees.id is not null as is_no_item,
        testers.id is not null as is_test_account,
        catalogue.item_id is null as is_orphan
    from events
    inner join settings on events.domain = settings.domain
    left join weights on events.domain = weights.domain and events.event_type = weights.event_type
    left join cancellations on events.domain = cancellations.domain and events.event_type = cancellations.event_type
    left join people on events.domain = people.domain and events.user_id = people.user_id
    left join {{ ref('int_excluded_ids') }} as fees
        on events.domain = fees.domain and fees.kind = 'item' and events.item_id = fees.id
    left join {{ ref('int_excluded_ids') }} as testers
        on events.domain = testers.domain and testers.kind = 'user' and events.user_id = testers.id
    left join {{ ref('int_items') }} as catalogue
        on events.domain = catalogue.domain and events.item_id = catalogue.item_id
)

select
    * exclude (is_early, is_late, is_no_item, is_test_account, is_orphan, rejects_zero_value),
    case
        when starts_with(error, 'unknown_domain') then 'unknown_domain'
        when error is not null then 'unparsable'
        when user_id is null then 'missing_user'
        when item_id is null then 'missing_item'
        when event_time is null then 'bad_time'
        when is_early then 'before_calendar'
        when is_late then 'future_time'
        when weight is null then 'unknown_event'
        when value < 0 then 'negative_value'
        when value = 0 and rejects_zero_value then 'zero_value'
        when is_no_item then 'not_an_item'
        when is_test_account then 'test_account'
        when is_orphan then 'orphan_item'
    end as reason
from known
