{{ config(materialized='view') }}

with events as (
    select domain, 'events' as kind, window_start, source_file, source_line, raw_line, reason
    from {{ ref('int_event_verdicts') }}
    where reason is not null
),

items as (
    select domain, 'items' as kind, cast(null as date) as window_start, source_file, source_line, raw_line, reason
    from {{ ref('int_item_verdicts') }}
    where reason is not null
),

users as (
    select domain, 'users' as kind, cast(null as date) as window_start, source_file, source_line, raw_line, reason
    from {{ ref('int_user_verdicts') }}
    where reason is not null
)

select * from events
union all
select * from items
union all
select * from users
