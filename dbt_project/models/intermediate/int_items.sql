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
),

-- A line a region is one way to write a catalogue, so the regions of all lines of a file count together.
files as (
    select
        domain,
        item_id,
        source_file,
        arg_max(available, source_line) filter (available is not null) as available,
        arg_max(category, source_line) filter (category is not null) as category,
        nullif(list_sort(list_distinct(flatten(list(regions)))), []) as regions
    from lines
    group by all
),

-- The latest file that says something.
attributes as (
    select
        domain,
        item_id,
        arg_max(available, source_file) filter (available is not null) as available,
        arg_max(category, source_file) filter (category is not null) as category,
        arg_max(regions, source_file) filter (regions is not null) as regions
    from files
    group by all
)

select
    domain,
    item_id,
    given[1] as title,
    texts,
    nullif(array_to_string(given, chr(10)), '') as document,
    available,
    category,
    regions
from chosen
inner join attributes using (domain, item_id)
