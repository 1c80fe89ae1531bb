SELECT f.source_month, f.dataset, f.company, {{ zone_of('f') }} AS pickup_location_id, a.zone AS pickup_zone,
  {{ zone_of('f', 'dropoff') }} AS dropoff_location_id, b.zone AS dropoff_zone,
  {{ is_by_coordinates('f') }} OR {{ is_by_coordinates('f', 'dropoff') }} AS is_zone_by_coordinates,
  f.part_of_day, f.is_weekend, f.plausible_trips, f.p50_minutes, f.p90_minutes,
  {{ ratio('f.sum_duration_s', 'f.plausible_trips * 60') }} AS mean_minutes
FROM {{ ref('fct_pair_part') }} AS f
LEFT JOIN {{ ref('dim_zone') }} AS a ON a.location_id = {{ zone_of('f') }}
LEFT JOIN {{ ref('dim_zone') }} AS b ON b.location_id = {{ zone_of('f', 'dropoff') }}
