-- Purchases of one user and item are a stack, and a cancelling line takes the newest that still stands. No loop is
-- needed: with purchases counted up and cancellations down, it is the newest earlier one that rose to the height from
-- which the line falls. Where none stands the line falls from a height to which no purchase has risen yet.
with cancelling as (
    select * from {{ ref('int_event_verdicts') }} where reason is null and cancels is not null
),

whole as (
    select events.*, events.event_type as stack
    from {{ ref('int_event_verdicts') }} as events
    semi join cancelling
        on
            events.domain = cancelling.domain
            and events.user_id = cancelling.user_id
            and events.item_id = cancelling.item_id
            and events.event_type = cancelling.cancels
    where events.reason is null and events.cancels is null
),

moves as (
    select *, 1 as step from whole
    union all
    select *, cancels as stack, -1 as step from cancelling
),

levelled as (
    select
        *,
        row_number() over in_order as place,
        sum(step) over in_order + if(step < 0, 1, 0) as height
    from moves
    window
        in_order as (
            -- A purchase and a cancellation at the same moment: the purchase came first.
            partition by domain, user_id, item_id, stack order by event_time, step desc, source_file, source_line
        )
)

select
    line.domain,
    line.window_start,
    line.user_id,
    line.item_id,
    line.event_time,
    line.event_type,
    line.quantity,
    line.source_file,
    line.source_line,
    case
        when purchase.place is null then 'unmatched'
        when line.quantity < purchase.quantity then 'partial'
        else 'complete'
    end as outcome,
    purchase.window_start as purchase_window,
    purchase.event_time as purchase_time,
    purchase.source_file as purchase_file,
    purchase.source_line as purchase_line
from (select * from levelled where step < 0) as line
asof left join (select * from levelled where step > 0) as purchase
    on
        line.domain = purchase.domain
        and line.user_id = purchase.user_id
        and line.item_id = purchase.item_id
        and line.stack = purchase.stack
        and line.height = purchase.height
        and line.place > purchase.place
