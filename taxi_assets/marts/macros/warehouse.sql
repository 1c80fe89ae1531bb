{# The few expressions that the two warehouses write differently. #}

{% macro whole() %}{{ 'INT64' if target.type == 'bigquery' else 'bigint' }}{% endmacro %}
{% macro text() %}{{ 'STRING' if target.type == 'bigquery' else 'text' }}{% endmacro %}
{% macro float() %}{{ 'FLOAT64' if target.type == 'bigquery' else 'double precision' }}{% endmacro %}
{% macro exact() %}{{ 'NUMERIC' if target.type == 'bigquery' else 'numeric' }}{% endmacro %}
{% macro bool() %}{{ 'BOOL' if target.type == 'bigquery' else 'boolean' }}{% endmacro %}
{% macro datetime() %}{{ 'DATETIME' if target.type == 'bigquery' else 'timestamp' }}{% endmacro %}

{% macro seconds_between(first, last) -%}
  {%- if target.type == 'bigquery' -%}
    DATETIME_DIFF({{ last }}, {{ first }}, SECOND)
  {%- else -%}
    CAST(FLOOR(DATE_PART('epoch', {{ last }})) - FLOOR(DATE_PART('epoch', {{ first }})) AS bigint)
  {%- endif -%}
{%- endmacro %}

{# 1 is Monday, 7 is Sunday. #}
{% macro weekday(day) -%}
  {%- if target.type == 'bigquery' -%}
    (MOD(EXTRACT(DAYOFWEEK FROM {{ day }}) + 5, 7) + 1)
  {%- else -%}
    CAST(EXTRACT(ISODOW FROM {{ day }}) AS bigint)
  {%- endif -%}
{%- endmacro %}

{% macro part(name, moment) -%}
  CAST(EXTRACT({{ name | upper }} FROM {{ moment }}) AS {{ whole() }})
{%- endmacro %}

{% macro first_of_month(day) -%}
  {%- if target.type == 'bigquery' -%} DATE_TRUNC(CAST({{ day }} AS DATE), MONTH)
  {%- else -%} CAST(DATE_TRUNC('month', {{ day }}) AS date) {%- endif -%}
{%- endmacro %}

{% macro first_of_quarter(day) -%}
  {%- if target.type == 'bigquery' -%} DATE_TRUNC(CAST({{ day }} AS DATE), QUARTER)
  {%- else -%} CAST(DATE_TRUNC('quarter', {{ day }}) AS date) {%- endif -%}
{%- endmacro %}

{% macro day_after(start, days) -%}
  {%- if target.type == 'bigquery' -%} DATE_ADD({{ start }}, INTERVAL {{ days }} DAY)
  {%- else -%} ({{ start }} + CAST({{ days }} AS integer)) {%- endif -%}
{%- endmacro %}

{# A ratio of sums: never a mean of ratios. #}
{% macro ratio(above, below) -%}
  CAST({{ above }} AS {{ float() }}) / NULLIF(CAST({{ below }} AS {{ float() }}), 0)
{%- endmacro %}
