{# Windowed models are rebuilt for the span of one run: whole windows are deleted and inserted again, so that a
   window that has become empty loses its rows, which dbt's own delete+insert would leave standing. #}

{% macro in_span(relation=none) -%}
    {%- set span = var('span') -%}
    {%- set prefix = relation ~ '.' if relation else '' -%}
    {%- if span -%}
        {{ prefix }}domain in ('{{ span.domains | join("', '") }}')
        and {{ prefix }}window_start >= date '{{ span.start }}'
        and {{ prefix }}window_start < date '{{ span.end }}'
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{% macro get_incremental_replace_span_sql(arg_dict) %}
    {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
    delete from {{ arg_dict['target_relation'] }} where {{ in_span() }};
    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    select {{ columns }} from {{ arg_dict['temp_relation'] }}
{% endmacro %}
