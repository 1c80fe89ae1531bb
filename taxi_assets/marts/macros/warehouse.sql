{# The few expressions that the two warehouses, and Spark, write differently. #}

{% macro whole() %}{{ {'bigquery': 'INT64', 'postgres': 'bigint', 'spark': 'BIGINT'}[target.type] }}{% endmacro %}
{% macro text() %}{{ {'bigquery': 'STRING', 'postgres': 'text', 'spark': 'STRING'}[target.type] }}{% endmacro %}
{% macro float() %}{{ {'bigquery': 'FLOAT64', 'postgres': 'double precision', 'spark': 'DOUBLE'}[target.type] }}{% endmacro %}
{% macro exact() %}{{ {'bigquery': 'NUMERIC', 'postgres': 'numeric', 'spark': 'DECIMAL(38, 9)'}[target.type] }}{% endmacro %}
{% macro bool() %}{{ {'bigquery': 'BOOL', 'postgres': 'boolean', 'spark': 'BOOLEAN'}[target.type] }}{% endmacro %}
{% macro datetime() %}{{ {'bigquery': 'DATETIME', 'postgres': 'timestamp', 'spark': 'TIMESTAMP_NTZ'}[target.type] }}{% endmacro %}

{% macro seconds_between(first, last) -%}
  {%- if target.type == 'bigquery' -%}
    DATETIME_DIFF({{ last }}, {{ first }}, SECOND)
  {%- elif target.type == 'spark' -%}
    {# The session's zone is UTC, so that each day has 24 hours. #}
    (UNIX_SECONDS(CAST({{ last }} AS TIMESTAMP)) - UNIX_SECONDS(CAST({{ first }} AS TIMESTAMP)))
  {%- else -%}
    CAST(FLOOR(DATE_PART('epoch', {{ last }})) - FLOOR(DATE_PART('epoch', {{ first }})) AS bigint)
  {%- endif -%}
{%- endmacro %}

{# 1 is Monday, 7 is Sunday. #}
{% macro weekday(day) -%}
  {%- if target.type == 'bigquery' -%}
    (MOD(EXTRACT(DAYOFWEEK FROM {{ day }}) + 5, 7) + 1)
  {%- else -%}
    CAST(EXTRACT({{ 'DAYOFWEEK_ISO' if target.type == 'spark' else 'ISODOW' }} FROM {{ day }}) AS {{ whole() }})
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
