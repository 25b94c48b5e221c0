{# The windows of one run: LANDBRIDGE_SPAN is {"domains": [...], "start": "YYYY-MM-DD", "end": "YYYY-MM-DD"} as JSON;
   unset means every window. No `--vars`: dbt parses the whole project anew for other ones, 5 s of every run. It is
   read at execution only, as dbt would also parse the models anew that read it before. #}
{% macro in_span() -%}
    {%- set span = fromjson(env_var('LANDBRIDGE_SPAN', 'null')) if execute else none -%}
    {%- if span -%}
        (domain in ('{{ span.domains | join("', '") }}') and window_start >= date '{{ span.start }}' and window_start < date '{{ span.end }}')
    {%- else -%}
        (domain is not null and window_start is not null)
    {%- endif -%}
{%- endmacro %}

{# A span in parts of whole windows with about so many log lines each. #}
{% macro parts_of_span(most_lines) -%}
    {%- set windows = run_query(
        "select domain, window_start, count(*) from " ~ source('raw', 'events') ~ " where " ~ in_span()
        ~ " group by all order by all"
    ) -%}
    {%- set parts = [] -%}
    {%- for domain, window, lines in windows.rows -%}
        {%- if parts and parts[-1].domain == domain and parts[-1].lines + lines <= most_lines -%}
            {%- do parts[-1].update(last=window, lines=parts[-1].lines + lines) -%}
        {%- else -%}
            {%- do parts.append({'domain': domain, 'first': window, 'last': window, 'lines': lines}) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(parts) }}
{%- endmacro %}
