{# Who a user id of a log or a user file is (`identity` of landbridge.yaml), in a query that joins raw.domain_settings
   as `settings` and, left, one row per domain and user id of raw.identity_map as `people`. #}
{% macro person(lines) -%}
    case
        when settings.identity = 'shared' then {{ lines }}.user_id
        else coalesce(people.shared_id, {{ lines }}.domain || ':' || {{ lines }}.user_id)
    end
{%- endmacro %}
