{#- Without dim_date: PostgreSQL has no statistics of a view and would join it row by row. -#}
SELECT f.dataset, z.is_in_congestion_zone, f.pickup_date >= DATE '{{ var("congestion_zone_begins") }}' AS is_congestion_zone_in_force,
  {{ part('month', 'f.pickup_date') }} AS calendar_month, {{ weekday('f.pickup_date') }} >= 6 AS is_weekend, f.pickup_hour,
  CAST(SUM(f.plausible_trips) AS {{ whole() }}) AS plausible_trips,
  {{ ratio('SUM(f.sum_plausible_distance_mi) * 3600', 'SUM(f.sum_plausible_duration_s)') }} AS mph
FROM {{ ref('fct_zone_hour') }} AS f
JOIN {{ ref('dim_zone') }} AS z ON z.location_id = {{ zone_of('f') }}
WHERE f.dataset <> 'fhv' AND f.pickup_date >= DATE '2023-01-01'
GROUP BY 1, 2, 3, 4, 5, 6
