with items as (
    select * from {{ source('raw', 'items') }}
),

cleaned as (
    select
        -- where it stands
        domain,
        source_file,
        source_line,
        -- what
        nullif(trim(item_id), '') as item_id,
        -- in the order of landbridge.yaml, null where blank; empty where all are
        case
            when regexp_matches(array_to_string(texts, ''), '\S')
                then [case when regexp_matches(text, '\S') then text end for text in texts]
            else []
        end as texts,
        -- what lists are filtered by
        {{ availability('available') }} as available,
        nullif(trim(category), '') as category,
        coalesce({{ names_in('regions') }}, []) as regions,
        nullif(trim(available), '') as available_text,
        -- for the quarantine
        raw_line,
        error
    from items
)

select * exclude (available_text), case when available is null then available_text end as available_unread
from cleaned
