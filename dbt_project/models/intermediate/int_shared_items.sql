with catalogue as (
    select domain, item_id, text_hash from {{ ref('item_documents') }}
),

by_id as (
    select a.domain as domain_a, b.domain as domain_b, count(*) as items
    from catalogue as a
    inner join catalogue as b on a.item_id = b.item_id and a.domain < b.domain
    group by all
),

texts as (
    select distinct domain, text_hash from catalogue where text_hash is not null
),

by_text as (
    select a.domain as domain_a, b.domain as domain_b, count(*) as texts
    from texts as a
    inner join texts as b on a.text_hash = b.text_hash and a.domain < b.domain
    group by all
)

select
    domain_a,
    domain_b,
    coalesce(by_id.items, 0) as items,
    coalesce(by_text.texts, 0) as texts
from by_id
full join by_text using (domain_a, domain_b)
