{# Summed before zones get their names, which would make each key of the sums six times as long. #}
WITH sums AS (
  SELECT f.source_month, f.dataset, f.company, {{ zone_of('f') }} AS pickup_location_id,
    {{ zone_of('f', 'dropoff') }} AS dropoff_location_id,
    {{ is_by_coordinates('f') }} OR {{ is_by_coordinates('f', 'dropoff') }} AS is_zone_by_coordinates,
    SUM(f.plausible_trips) AS trips, SUM(f.sum_total_usd) AS total_usd, SUM(f.sum_duration_s) AS duration_s
  FROM {{ ref('fct_pair_part') }} AS f
  WHERE f.dataset <> 'fhv'
  GROUP BY 1, 2, 3, 4, 5, 6
)
SELECT sums.source_month, sums.dataset, sums.company, sums.pickup_location_id, a.zone AS pickup_zone,
  sums.dropoff_location_id, b.zone AS dropoff_zone, sums.is_zone_by_coordinates,
  CAST(sums.trips AS {{ whole() }}) AS plausible_trips,
  {{ ratio('sums.total_usd', 'sums.trips') }} AS total_usd_a_trip,
  {{ ratio('sums.duration_s', 'sums.trips * 60') }} AS minutes_a_trip
FROM sums
LEFT JOIN {{ ref('dim_zone') }} AS a ON a.location_id = sums.pickup_location_id
LEFT JOIN {{ ref('dim_zone') }} AS b ON b.location_id = sums.dropoff_location_id
