{#- By ranks, from counts of equal values: exact, and quicker than a sort of all trips. -#}
{%- set card_or_cash = "(payment_type IN (1, 2) OR dataset = 'fhvhv')" -%}
{%- set measures = [
  ('duration_s', 'duration_s', 1, 'duration_s > 0 AND NOT is_refund'),
  ('distance_mi', milli('distance_mi'), 1000, 'distance_mi > 0 AND NOT is_refund'),
  ('fare_usd', cents('fare_usd'), 100, 'fare_usd > 0 AND distance_mi > 0 AND ' ~ card_or_cash),
  ('fare_any_payment_usd', cents('fare_usd'), 100, 'fare_usd > 0 AND distance_mi > 0'),
  ('total_usd', cents('total_usd'), 100, 'total_usd > 0 AND distance_mi > 0'),
  ('driver_pay_usd', cents('driver_pay_usd'), 100, 'driver_pay_usd > 0'),
  ('wait_s', 'wait_s', 1, 'wait_s >= 0'),
] -%}
WITH t AS ({{ trips_of_this_run(by_coordinates=false) }}),
counted AS (
  {% for name, value, unit, condition in measures -%}
  SELECT source_month, dataset, '{{ name }}' AS measure, {{ unit }} AS unit, CAST({{ value }} AS {{ float() }}) AS value, COUNT(*) AS n
  FROM t WHERE {{ condition }}
  GROUP BY 1, 2, 5
  {{ 'UNION ALL' if not loop.last }}
  {% endfor %}
),
ranked AS (
  SELECT
    source_month, dataset, measure, unit, value,
    SUM(n) OVER (PARTITION BY source_month, measure ORDER BY value ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS up_to,
    SUM(n) OVER (PARTITION BY source_month, measure) AS of_all
  FROM counted
),
ends AS (
  SELECT
    source_month, dataset, measure, unit, MAX(of_all) AS n
    {% for p in (50, 90, 95, 97) -%}
    , MIN(CASE WHEN up_to > FLOOR((of_all - 1) * {{ p }} / 100.0) THEN value END) AS low_{{ p }}
    , MIN(CASE WHEN up_to > CEIL((of_all - 1) * {{ p }} / 100.0) THEN value END) AS high_{{ p }}
    , MAX((of_all - 1) * {{ p }} - FLOOR((of_all - 1) * {{ p }} / 100.0) * 100) AS share_{{ p }}
    {% endfor %}
  FROM ranked
  GROUP BY 1, 2, 3, 4
)
SELECT
  source_month,
  dataset,
  measure,
  CAST(n AS {{ whole() }}) AS trips,
  {% for p in (50, 90, 95, 97) -%}
  ROUND(CAST((low_{{ p }} * (100 - share_{{ p }}) + high_{{ p }} * share_{{ p }}) / (100.0 * unit) AS {{ exact() }}), 3) AS p{{ p }}{{ ',' if not loop.last }}
  {% endfor %}
FROM ends
