SELECT f.source_month, f.dataset, f.company, z.zone AS airport, f.pickup_hour,
  CAST(SUM(f.net_trips) AS {{ whole() }}) AS net_trips,
  CAST(SUM(f.plausible_trips) AS {{ whole() }}) AS plausible_trips,
  {{ ratio('SUM(f.sum_plausible_duration_s)', 'SUM(f.plausible_trips) * 60') }} AS mean_minutes,
  {{ ratio('SUM(f.sum_total_usd)', 'SUM(f.net_trips)') }} AS total_usd_a_trip
FROM {{ ref('fct_zone_hour') }} AS f
JOIN {{ ref('dim_zone') }} AS z ON z.location_id = {{ zone_of('f') }} AND z.is_airport
GROUP BY 1, 2, 3, 4, 5
