{{ config(materialized='view') }}

with lines as (
    select domain, item_id, texts from {{ ref('int_item_verdicts') }} where reason is null
),

chosen as (
    select domain, item_id, title from {{ ref('int_items') }}
)

select
    lines.domain,
    lines.item_id,
    count(distinct lines.texts) filter (len(lines.texts) > 0) as versions,
    count(*) as lines,
    chosen.title,
    coalesce(
        list(distinct lines.texts[1] order by lines.texts[1]) filter (lines.texts[1] <> chosen.title), []
    ) as other_titles
from lines
inner join chosen on lines.domain = chosen.domain and lines.item_id = chosen.item_id
group by lines.domain, lines.item_id, chosen.title
having versions > 1
