{# What catalogues write where they say whether an item can be had: a word, or units in stock. Null for anything else. #}
{% macro availability(text) -%}
    {%- set word = "regexp_replace(lower(" ~ text ~ "), '[\\s_-]', '', 'g')" -%}
    {%- set units = "try_cast(trim(" ~ text ~ ") as double)" -%}
    case
        when {{ word }} in ('true', 't', 'yes', 'y', 'available', 'instock') then true
        when {{ word }} in ('false', 'f', 'no', 'n', 'unavailable', 'notavailable', 'outofstock', 'soldout', 'discontinued')
            then false
        when isfinite({{ units }}) then {{ units }} > 0
    end
{%- endmacro %}

{# The names in a list of texts: each may be one name, several between commas, semicolons or bars, or a list ([a, b]). #}
{% macro names_in(texts) -%}
    list_sort(list_distinct([
        trim(name)
        for name in flatten([
            coalesce(
                case when starts_with(trim(text), '[') then try_cast(trim(text) as varchar[]) end,
                string_split_regex(text, '[,;|]')
            )
            for text in {{ texts }} if text is not null
        ])
        if trim(name) <> ''
    ]))
{%- endmacro %}
