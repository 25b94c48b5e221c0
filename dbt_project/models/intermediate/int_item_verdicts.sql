with lines as (
    select * from {{ ref('stg_items') }}
),

fees as (
    select domain, id from {{ ref('int_excluded_ids') }} where kind = 'item'
)

select
    lines.* exclude (error),
    case
        when starts_with(lines.error, 'unknown_domain') then 'unknown_domain'
        when lines.error is not null then 'unparsable'
        when lines.item_id is null then 'missing_item'
        when fees.id is not null then 'not_an_item'
    end as reason
from lines
left join fees on lines.domain = fees.domain and lines.item_id = fees.id
