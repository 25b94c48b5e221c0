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
        -- for the quarantine
        raw_line,
        error
    from items
)

select * from cleaned
