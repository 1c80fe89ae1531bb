{# A table of which each run replaces the months of one dataset, in one transaction: see `replace_months`. #}

{% macro column_type(name) -%}
  {%- set types = {'date': 'date', 'text': text(), 'whole': whole(), 'float': float(), 'exact': exact(), 'bool': bool()} -%}
  {{ types[name] }}
{%- endmacro %}

{% macro columns_with_types() -%}
  {%- for column in model.columns.values() %}
    {{ column.name }} {{ column_type(column.meta.kind) }}{{ ',' if not loop.last }}
  {%- endfor %}
{%- endmacro %}

{% macro column_names() -%} {{ model.columns.keys() | join(', ') }} {%- endmacro %}

{% materialization month, adapter='postgres' %}
  {%- set relation = this.incorporate(type='table') -%}
  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}
  {# Two first runs would both create the table; the lock ends with the transaction. #}
  {% call statement('create') %}
    SELECT pg_advisory_xact_lock(hashtextextended('{{ relation.schema }}.{{ relation.identifier }}', 0));
    CREATE TABLE IF NOT EXISTS {{ relation }} ({{ columns_with_types() }});
    CREATE INDEX IF NOT EXISTS {{ relation.identifier }}_month ON {{ relation }} (source_month, dataset);
  {% endcall %}
  {% do adapter.commit() %}
  {# In one call, which is one transaction however dbt commits: between two calls, a kill left the month deleted. #}
  {% call statement('main') %}
    {# In order, so that two runs cannot wait for each other. A run that waited reads what was loaded meanwhile. #}
    {% for month in var('months') | sort %}
      SELECT pg_advisory_xact_lock(
        hashtextextended('{{ relation.schema }}.{{ relation.identifier }} {{ var("dataset") }} {{ month }}', 0));
    {% endfor %}
    SET LOCAL work_mem = '64MB';
    SET LOCAL hash_mem_multiplier = 4;
    SET LOCAL jit = off;
    {# The few refunds are taken for many, and all trips were sorted to be merged with them. #}
    SET LOCAL enable_mergejoin = off;
    SET LOCAL max_parallel_workers_per_gather = 0;
    DELETE FROM {{ relation }} WHERE {{ of_this_run() }};
    INSERT INTO {{ relation }} ({{ column_names() }})
    SELECT {{ column_names() }} FROM ({{ sql }}) AS made
  {% endcall %}
  {% do adapter.commit() %}
  {{ return({'relations': [relation]}) }}
{% endmaterialization %}

{% materialization month, adapter='bigquery' %}
  {%- set relation = this.incorporate(type='table') -%}
  {% call statement('create') %}
    CREATE TABLE IF NOT EXISTS {{ relation }} ({{ columns_with_types() }})
    PARTITION BY DATE_TRUNC(source_month, MONTH) CLUSTER BY dataset
  {% endcall %}
  {# One statement, which is atomic and removes a month that has become empty. No row ever matches: BigQuery plans
     ON FALSE as a delete and an insert. The emulator's DuckDB would pair all rows (18 s for a month of green), but
     joins by hash (3 s) on an equality that never holds. #}
  {%- set never = "CONCAT(old.dataset, '?') = new.dataset" if target.method == 'oauth-secrets' else 'FALSE' -%}
  {% call statement('main') %}
    MERGE INTO {{ relation }} AS old
    USING (SELECT {{ column_names() }} FROM ({{ sql }}) AS made) AS new
    ON {{ never }}
    WHEN NOT MATCHED BY SOURCE AND old.dataset = '{{ var("dataset") }}' AND old.source_month IN ({{ months_list() }}) THEN DELETE
    WHEN NOT MATCHED THEN INSERT ({{ column_names() }})
      VALUES ({%- for name in model.columns.keys() %}new.{{ name }}{{ ', ' if not loop.last }}{% endfor %})
  {% endcall %}
  {{ return({'relations': [relation]}) }}
{% endmaterialization %}
