SELECT f.source_month, f.dataset, f.company, f.pickup_location_id, a.zone AS pickup_zone, f.dropoff_location_id, b.zone AS dropoff_zone,
  f.part_of_day, f.is_weekend, f.plausible_trips, f.p50_minutes, f.p90_minutes,
  {{ ratio('f.sum_duration_s', 'f.plausible_trips * 60') }} AS mean_minutes
FROM {{ ref('fct_pair_part') }} AS f
LEFT JOIN {{ ref('dim_zone') }} AS a ON a.location_id = f.pickup_location_id
LEFT JOIN {{ ref('dim_zone') }} AS b ON b.location_id = f.dropoff_location_id
