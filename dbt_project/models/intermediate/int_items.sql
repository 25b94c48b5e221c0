{{ config(materialized='table') }}

with lines as (
    select * from {{ ref('int_item_verdicts') }} where reason is null
),

versions as (
    select domain, item_id, texts, count(*) as lines, max((source_file, source_line)) as latest
    from lines
    group by all
),

-- A catalogue may name an item more than once: the text seen most often wins, then the latest, and any text
-- wins over none.
chosen as (
    select
        domain,
        item_id,
        texts,
        [trim(regexp_replace(text, '\s+', ' ', 'g')) for text in texts if text is not null] as given
    from versions
    qualify
        row_number() over (partition by domain, item_id order by len(texts) = 0, lines desc, latest desc) = 1
)

select
    domain,
    item_id,
    given[1] as title,
    texts,
    nullif(array_to_string(given, chr(10)), '') as document
from chosen
