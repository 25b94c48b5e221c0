{{ config(materialized='view') }}

select
    domain,
    window_start,
    coalesce(reason, 'kept') as reason,
    count(*) as rows
from {{ ref('int_event_verdicts') }}
group by all
