{{ config(materialized='table') }}

with patterns as (
    select * from {{ source('raw', 'id_patterns') }}
),

-- A pattern is compiled for each value it is held against, so it sees each id once and not each line.
ids as (
    select domain, 'item' as kind, item_id as id from {{ ref('stg_events') }}
    where domain in (select domain from patterns where kind = 'item')
    union
    select domain, 'item' as kind, item_id as id from {{ ref('stg_items') }}
    where domain in (select domain from patterns where kind = 'item')
    union
    select domain, 'user' as kind, user_id as id from {{ ref('stg_events') }}
    where domain in (select domain from patterns where kind = 'user')
)

select distinct ids.domain, ids.kind, ids.id
from ids
inner join patterns on ids.domain = patterns.domain and ids.kind = patterns.kind
where regexp_full_match(ids.id, patterns.pattern)
