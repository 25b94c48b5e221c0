{# Rows in = rows kept + rows quarantined, for every domain and window of the run: no line is lost on the way. #}
{% test accounts_for_every_row(model, source_model) %}
with rows_in as (
    select domain, window_start, count(*) as rows from {{ source_model }} where {{ in_span() }} group by all
),

rows_out as (
    select domain, window_start, sum(rows) as rows from {{ model }} where {{ in_span() }} group by all
)

select domain, window_start, rows_in.rows as rows_in, rows_out.rows as rows_out
from rows_in full join rows_out using (domain, window_start)
where rows_in.rows is distinct from rows_out.rows
{% endtest %}
