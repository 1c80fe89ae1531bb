SELECT f.source_month, f.dataset, {{ zone_of('f') }} AS pickup_location_id, {{ is_by_coordinates('f') }} AS is_zone_by_coordinates, z.borough, z.zone, z.is_in_congestion_zone, f.pickup_hour,
  CAST(SUM(f.plausible_trips) AS {{ whole() }}) AS plausible_trips,
  {{ ratio('SUM(f.sum_plausible_distance_mi) * 3600', 'SUM(f.sum_plausible_duration_s)') }} AS mph
FROM {{ ref('fct_zone_hour') }} AS f
JOIN {{ ref('dim_zone') }} AS z ON z.location_id = {{ zone_of('f') }}
WHERE f.dataset <> 'fhv'
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
