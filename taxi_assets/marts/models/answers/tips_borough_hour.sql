SELECT f.source_month, f.dataset, f.company, z.borough, f.pickup_hour,
  CAST(SUM(f.tip_recorded_trips) AS {{ whole() }}) AS tip_recorded_trips,
  {{ ratio('SUM(f.tip_recorded_trips)', 'SUM(f.trips)') }} AS share_of_trips_with_record,
  {{ ratio('SUM(f.sum_recorded_tip_usd)', 'SUM(f.sum_fare_where_tip_recorded_usd)') }} AS tip_of_fare
FROM {{ ref('fct_zone_hour') }} AS f
LEFT JOIN {{ ref('dim_zone') }} AS z ON z.location_id = {{ zone_of('f') }}
WHERE f.dataset <> 'fhv'
GROUP BY 1, 2, 3, 4, 5
