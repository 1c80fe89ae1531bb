SELECT f.source_month, f.dataset, f.payment_type,
  CASE WHEN f.is_null_block THEN 'Not filled by the meter' ELSE COALESCE(p.payment, 'Other') END AS payment, f.trips, f.sum_total_usd AS total_usd,
  {{ ratio('f.trips', 'SUM(f.trips) OVER (PARTITION BY f.source_month, f.dataset)') }} AS share_of_trips
FROM {{ ref('fct_payment_month') }} AS f
LEFT JOIN {{ ref('dim_payment_type') }} AS p ON p.payment_type = f.payment_type
