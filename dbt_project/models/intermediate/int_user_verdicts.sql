select
    * exclude (error),
    case
        when starts_with(error, 'unknown_domain') then 'unknown_domain'
        when error is not null then 'unparsable'
        when user_id is null then 'missing_user'
    end as reason
from {{ ref('stg_users') }}
