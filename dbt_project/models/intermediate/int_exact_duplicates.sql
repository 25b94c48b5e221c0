-- Grouping hashes is ten times cheaper than sorting lines; what shares a hash is then compared whole.
with suspects as (
    select domain, window_start, hash(raw_line) as line_hash
    from {{ ref('stg_events') }}
    where error is null
    group by all
    having count(*) > 1
),

copies as (
    select
        lines.domain,
        lines.window_start,
        lines.source_file,
        lines.source_line,
        row_number() over (
            partition by lines.domain, lines.window_start, lines.raw_line
            order by lines.source_file, lines.source_line
        ) as copy
    from {{ ref('stg_events') }} as lines
    inner join suspects
        on lines.domain = suspects.domain
        and lines.window_start = suspects.window_start
        and hash(lines.raw_line) = suspects.line_hash
    where lines.error is null
)

select domain, window_start, source_file, source_line from copies where copy > 1
