with items as (
    select * from {{ ref('int_items') }}
),

activity as (
    select domain, item_id, min(event_time) as first_seen, max(event_time) as last_seen, count(*) as interactions
    from {{ ref('fct_interactions') }}
    group by all
)

select
    items.domain,
    items.item_id,
    items.title,
    items.available,
    items.category,
    items.regions,
    activity.first_seen,
    activity.last_seen,
    coalesce(activity.interactions, 0) as interactions
from items
left join activity on items.domain = activity.domain and items.item_id = activity.item_id
