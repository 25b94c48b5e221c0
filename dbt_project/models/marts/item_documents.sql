select
    domain,
    item_id,
    title,
    document,
    sha256(document) as text_hash
from {{ ref('int_items') }}
