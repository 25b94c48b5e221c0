select
    domain,
    item_id,
    title,
    texts,
    document,
    sha256(document) as text_hash
from {{ ref('int_items') }}
