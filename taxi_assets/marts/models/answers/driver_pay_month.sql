SELECT f.source_month, f.company, z.borough,
  CAST(SUM(f.trips) AS {{ whole() }}) AS trips,
  SUM(f.sum_driver_pay_usd) AS driver_pay_usd,
  {{ ratio('SUM(f.sum_driver_pay_usd)', 'SUM(f.trips)') }} AS usd_a_trip,
  {{ ratio('SUM(f.sum_driver_pay_usd)', 'SUM(f.sum_distance_mi)') }} AS usd_a_mile,
  {{ ratio('SUM(f.sum_driver_pay_usd) * 60', 'SUM(f.sum_duration_s)') }} AS usd_a_minute,
  {{ ratio('SUM(f.sum_driver_pay_usd)', 'SUM(f.sum_fare_where_paid_usd)') }} AS pay_of_fare
FROM {{ ref('fct_zone_hour') }} AS f
LEFT JOIN {{ ref('dim_zone') }} AS z ON z.location_id = {{ zone_of('f') }}
WHERE f.dataset = 'fhvhv'
GROUP BY 1, 2, 3
