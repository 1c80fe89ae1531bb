{# Exact percentiles of measures by some columns of `t`, in the rows of `counted`: by ranks, from counts of equal values,
   which is quicker than a sort of all trips. A measure is its name, its value in whole units, the units in one, and a condition. #}
{% macro percentiles(keys, measures, percents) -%}
counted AS (
  {% for name, value, unit, condition in measures -%}
  SELECT {{ keys | join(', ') }}, '{{ name }}' AS measure, {{ unit }} AS unit, CAST({{ value }} AS {{ float() }}) AS value, COUNT(*) AS n
  FROM t WHERE {{ condition }}
  GROUP BY {% for _ in keys %}{{ loop.index }}, {% endfor %}{{ keys | length + 3 }}
  {{ 'UNION ALL' if not loop.last }}
  {% endfor %}
),
ranked AS (
  SELECT
    {{ keys | join(', ') }}, measure, unit, value,
    SUM(n) OVER (
      PARTITION BY {{ keys | join(', ') }}, measure ORDER BY value ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS up_to,
    SUM(n) OVER (PARTITION BY {{ keys | join(', ') }}, measure) AS of_all
  FROM counted
),
ends AS (
  SELECT
    {{ keys | join(', ') }}, measure, unit, MAX(of_all) AS n
    {% for p in percents -%}
    , MIN(CASE WHEN up_to > FLOOR((of_all - 1) * {{ p }} / 100.0) THEN value END) AS low_{{ p }}
    , MIN(CASE WHEN up_to > CEIL((of_all - 1) * {{ p }} / 100.0) THEN value END) AS high_{{ p }}
    , MAX((of_all - 1) * {{ p }} - FLOOR((of_all - 1) * {{ p }} / 100.0) * 100) AS share_{{ p }}
    {% endfor %}
  FROM ranked
  GROUP BY {{ keys | join(', ') }}, measure, unit
)
SELECT
  {% for key in keys -%}
  {{ key }},
  {% endfor -%}
  measure,
  CAST(n AS {{ whole() }}) AS trips,
  {% for p in percents -%}
  ROUND(CAST((low_{{ p }} * (100 - share_{{ p }}) + high_{{ p }} * share_{{ p }}) / (100.0 * unit) AS {{ exact() }}), 3) AS p{{ p }}{{ ',' if not loop.last }}
  {% endfor %}
FROM ends
{%- endmacro %}
