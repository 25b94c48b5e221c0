with users as (
    select * from {{ source('raw', 'users') }}
),

cleaned as (
    select
        -- where it stands
        domain,
        source_file,
        source_line,
        -- who, what
        nullif(trim(user_id), '') as user_id,
        attributes,
        -- for the quarantine
        raw_line,
        error
    from users
)

select * from cleaned
