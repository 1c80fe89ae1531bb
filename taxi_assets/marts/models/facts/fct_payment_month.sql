WITH t AS ({{ trips_of_this_run(by_coordinates=false) }})
SELECT
  source_month,
  dataset,
  payment_type,
  is_null_block,
  COUNT(*) AS trips,
  {{ sum_usd('fare_usd') }} AS sum_fare_usd,
  {{ sum_usd('tip_usd') }} AS sum_tip_usd,
  {{ sum_usd('total_usd') }} AS sum_total_usd
FROM t
WHERE dataset IN ('yellow', 'green')
GROUP BY 1, 2, 3, 4
