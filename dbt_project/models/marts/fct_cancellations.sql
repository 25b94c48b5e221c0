with matches as (
    select * from {{ ref('int_cancellation_matches') }}
),

complete as (
    select * from matches where outcome = 'complete'
),

-- What raised the interest of the windows that lose some of it.
raising as (
    select events.*
    from {{ ref('int_event_verdicts') }} as events
    semi join complete
        on
            events.domain = complete.domain
            and events.window_start = complete.purchase_window
            and events.user_id = complete.user_id
            and events.item_id = complete.item_id
    where events.reason is null and events.cancels is null and events.weight > 0
),

-- The interest of a window is its strongest event that is not cancelled yet. Read from the end: never cancelled
-- lines stand throughout, and the purchase of the last cancellation joins them before it, and so on.
losses as (
    select
        raising.domain,
        raising.window_start,
        raising.source_file,
        raising.source_line,
        coalesce(max(raising.weight) over later, 0) - greatest(raising.weight, max(raising.weight) over later)
            as takes_back
    from raising
    left join complete
        on
            raising.domain = complete.domain
            and raising.window_start = complete.purchase_window
            and raising.source_file = complete.purchase_file
            and raising.source_line = complete.purchase_line
    window
        later as (
            partition by raising.domain, raising.window_start, raising.user_id, raising.item_id
            order by
                complete.event_time desc nulls first, complete.source_file desc, complete.source_line desc
            rows between unbounded preceding and 1 preceding
        )
)

select
    matches.*,
    case when matches.outcome = 'complete' then coalesce(losses.takes_back, 0) else 0 end as takes_back
from matches
left join losses
    on
        matches.domain = losses.domain
        and matches.purchase_window = losses.window_start
        and matches.purchase_file = losses.source_file
        and matches.purchase_line = losses.source_line
