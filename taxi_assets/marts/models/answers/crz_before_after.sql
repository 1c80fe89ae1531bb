SELECT f.dataset, z.is_in_congestion_zone, d.is_congestion_zone_in_force, {{ part('month', 'f.pickup_date') }} AS calendar_month, d.is_weekend, f.pickup_hour,
  CAST(SUM(f.plausible_trips) AS {{ whole() }}) AS plausible_trips,
  {{ ratio('SUM(f.sum_plausible_distance_mi) * 3600', 'SUM(f.sum_plausible_duration_s)') }} AS mph
FROM {{ ref('fct_zone_hour') }} AS f
JOIN {{ ref('dim_zone') }} AS z ON z.location_id = f.pickup_location_id
JOIN {{ ref('dim_date') }} AS d ON d.date = f.pickup_date
WHERE f.dataset <> 'fhv' AND f.pickup_date >= DATE '2023-01-01'
GROUP BY 1, 2, 3, 4, 5, 6
