with lines as (
    select * from {{ ref('int_user_verdicts') }} where reason is null
),

settings as (
    select domain, identity from {{ source('raw', 'domain_settings') }}
),

people as (
    select domain, user_id, min(shared_id) as shared_id from {{ source('raw', 'identity_map') }} group by all
),

attributes as (
    select
        lines.domain,
        {{ person('lines') }} as user_id,
        lines.source_file,
        lines.source_line,
        unnest(map_entries(lines.attributes)) as entry
    from lines
    inner join settings on lines.domain = settings.domain
    left join people on lines.domain = people.domain and lines.user_id = people.user_id
),

told as (
    select domain, user_id, source_file, source_line, entry.key as attribute, nullif(trim(entry.value), '') as value
    from attributes
)

-- The last line wins; a blank tells nothing, so it takes nothing back.
select
    domain,
    user_id,
    attribute,
    arg_max(value, (source_file, source_line)) as value
from told
where value is not null
group by domain, user_id, attribute
