with items as (
    select * from {{ source('raw', 'items') }}
),

cleaned as (
    select
        domain,
        source_file,
        source_line,
        nullif(trim(item_id), '') as item_id,
        [nullif(trim(regexp_replace(text, '\s+', ' ', 'g')), '') for text in texts if nullif(trim(text), '') is not null]
            as texts,
        raw_line,
        case
            when error is not null then 'unparsable'
            when nullif(trim(item_id), '') is null then 'missing_item'
        end as reason
    from items
)

select * from cleaned
