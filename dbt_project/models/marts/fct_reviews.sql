{{ config(materialized='view') }}

select
    domain,
    window_start,
    source_file,
    source_line,
    user_id,
    item_id,
    event_time,
    review,
    rating,
    weight
from {{ ref('int_event_verdicts') }}
where reason is null and cancels is null and review is not null
