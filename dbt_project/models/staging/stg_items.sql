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
        [nullif(trim(regexp_replace(text, '\s+', ' ', 'g')), '') for text in texts if nullif(trim(text), '') is not null]
            as texts,
        -- for the quarantine
        raw_line,
        error
    from items
)

select * from cleaned
