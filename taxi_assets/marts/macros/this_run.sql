{# What a run makes: months of one dataset. #}

{% macro months_list() -%}
  {%- for month in var('months') -%} DATE '{{ month }}' {%- if not loop.last %}, {% endif -%} {%- endfor -%}
{%- endmacro %}

{# The months that this run makes. Use it in models and tests, so that neither reads all of history. #}
{% macro in_months() -%} source_month IN ({{ months_list() }}) {%- endmacro %}
{% macro of_this_run() -%} dataset = '{{ var("dataset") }}' AND {{ in_months() }} {%- endmacro %}
