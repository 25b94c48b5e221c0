with settings as (
    select domain from {{ source('raw', 'domain_settings') }}
),

arrivals as (
    select domain, user_id, min(window_start) as window_start from {{ ref('fct_interactions') }} group by all
),

new_users as (
    select domain, window_start, count(*) as users from arrivals group by all
),

-- A user is shared from the window on in which the second of the two domains first saw it.
new_shared as (
    select
        a.domain as domain_a,
        b.domain as domain_b,
        greatest(a.window_start, b.window_start) as window_start,
        count(*) as users
    from arrivals as a
    inner join arrivals as b on a.user_id = b.user_id and a.domain < b.domain
    group by all
),

-- A window in which no domain gained a user repeats the one before it and is left out.
grid as (
    select a.domain as domain_a, b.domain as domain_b, windows.window_start
    from settings as a
    inner join settings as b on a.domain < b.domain
    cross join (select distinct window_start from new_users) as windows
),

so_far as (
    select
        grid.*,
        cast(sum(coalesce(new_shared.users, 0)) over up_to_here as bigint) as shared_users,
        cast(sum(coalesce(new_a.users, 0)) over up_to_here as bigint) as users_a,
        cast(sum(coalesce(new_b.users, 0)) over up_to_here as bigint) as users_b
    from grid
    left join new_shared using (domain_a, domain_b, window_start)
    left join new_users as new_a on grid.domain_a = new_a.domain and grid.window_start = new_a.window_start
    left join new_users as new_b on grid.domain_b = new_b.domain and grid.window_start = new_b.window_start
    window up_to_here as (partition by grid.domain_a, grid.domain_b order by grid.window_start)
)

select
    so_far.*,
    -- Of the smaller domain: 1 means that it adds no user to the other.
    so_far.shared_users / nullif(least(so_far.users_a, so_far.users_b), 0) as share,
    coalesce(shared_items.items, 0) as shared_items,
    coalesce(shared_items.texts, 0) as shared_texts
from so_far
left join {{ ref('int_shared_items') }} as shared_items using (domain_a, domain_b)
