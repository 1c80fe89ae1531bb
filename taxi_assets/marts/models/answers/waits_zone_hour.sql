SELECT f.source_month, f.company, f.pickup_location_id, z.borough, z.zone, f.pickup_hour,
  CAST(SUM(f.wait_trips) AS {{ whole() }}) AS wait_trips,
  {{ ratio('SUM(f.sum_wait_s)', 'SUM(f.wait_trips) * 60') }} AS wait_minutes,
  CAST(SUM(f.shared_asked_trips) AS {{ whole() }}) AS shared_asked_trips,
  CAST(SUM(f.shared_matched_trips) AS {{ whole() }}) AS shared_matched_trips,
  CAST(SUM(f.wav_asked_trips) AS {{ whole() }}) AS wav_asked_trips,
  CAST(SUM(f.wav_asked_and_served_trips) AS {{ whole() }}) AS wav_asked_and_served_trips
FROM {{ ref('fct_zone_hour') }} AS f
LEFT JOIN {{ ref('dim_zone') }} AS z ON z.location_id = {{ zone_of('f') }}
WHERE f.dataset = 'fhvhv'
GROUP BY 1, 2, 3, 4, 5, 6
