{# One row per combination: the grain a model's description promises. Hashes are grouped first, which is many times
   cheaper than grouping the columns; only rows that share a hash are compared. #}
{% test unique_combination(model, columns) %}
{%- set columns = columns | join(', ') %}
with suspects as (
    select hash({{ columns }}) as combination from {{ model }} group by all having count(*) > 1
)

select {{ columns }}, count(*) as copies
from {{ model }}
where hash({{ columns }}) in (select combination from suspects)
group by {{ columns }}
having count(*) > 1
{% endtest %}
