select
    user_id,
    count(distinct domain) as domains,
    count(*) as interactions,
    min(event_time) as first_seen,
    max(event_time) as last_seen
from {{ ref('fct_interactions') }}
group by user_id
