{# A table that holds windows: those of the span are deleted and written again, in one transaction, so that a window
   that has become empty loses its rows. The model filters its inputs with in_span(). Nothing in it looks beyond a
   window, hence it is computed part by part: what DuckDB must sort or hash at a time stays in memory, and a row of
   twenty million costs what a row of one million does. #}
{% materialization windowed, adapter='duckdb' %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set rebuild = existing is none or existing.type != 'table' or should_full_refresh() -%}
    {%- set columns = get_column_schema_from_query(get_empty_subquery_sql(sql)) -%}
    {%- set names = columns | map(attribute='quoted') | join(', ') -%}

    {{ run_hooks(pre_hooks) }}
    {% if rebuild %}
        {% if existing is not none %}{% do adapter.drop_relation(existing) %}{% endif %}
        {% do run_query(create_table_as(False, target_relation, "select * from (" ~ sql ~ ") where false")) %}
    {% else %}
        {%- set before = adapter.get_columns_in_relation(existing) | map(attribute='quoted') | list -%}
        {%- set added = columns | rejectattr('quoted', 'in', before) | list -%}
        {% if before | length + added | length > columns | length %}
            {% do exceptions.raise_compiler_error(
                this ~ " has columns that its model has no more; build it whole once: dbt build --full-refresh"
            ) %}
        {% endif %}
        {# Windows outside the span were written before the column was thought of: there it is null until they run. #}
        {% for column in added %}
            {% do run_query("alter table " ~ target_relation ~ " add column " ~ column.quoted ~ " " ~ column.dtype) %}
        {% endfor %}
        {% do run_query("delete from " ~ target_relation ~ " where " ~ in_span()) %}
    {% endif %}
    {% for part in parts_of_span(var('lines_at_once')) %}
        {%- set windows = "(domain = '" ~ part.domain ~ "' and window_start between date '" ~ part.first
            ~ "' and date '" ~ part.last ~ "')" -%}
        {% do run_query(
            "insert into " ~ target_relation ~ " (" ~ names ~ ") select " ~ names
            ~ " from (" ~ sql | replace(in_span(), windows) ~ ")"
        ) %}
    {% endfor %}
    {% call statement('main') %}select count(*) from {{ target_relation }} where {{ in_span() }}{% endcall %}
    {{ run_hooks(post_hooks) }}
    {% do persist_docs(target_relation, model) %}
    {% do adapter.commit() %}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
