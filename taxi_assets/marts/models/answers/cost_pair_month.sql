SELECT f.source_month, f.dataset, f.company, {{ zone_of('f') }} AS pickup_location_id, a.zone AS pickup_zone,
  {{ zone_of('f', 'dropoff') }} AS dropoff_location_id, b.zone AS dropoff_zone,
  {{ is_by_coordinates('f') }} OR {{ is_by_coordinates('f', 'dropoff') }} AS is_zone_by_coordinates,
  CAST(SUM(f.plausible_trips) AS {{ whole() }}) AS plausible_trips,
  {{ ratio('SUM(f.sum_total_usd)', 'SUM(f.plausible_trips)') }} AS total_usd_a_trip,
  {{ ratio('SUM(f.sum_duration_s)', 'SUM(f.plausible_trips) * 60') }} AS minutes_a_trip
FROM {{ ref('fct_pair_part') }} AS f
LEFT JOIN {{ ref('dim_zone') }} AS a ON a.location_id = {{ zone_of('f') }}
LEFT JOIN {{ ref('dim_zone') }} AS b ON b.location_id = {{ zone_of('f', 'dropoff') }}
WHERE f.dataset <> 'fhv'
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
