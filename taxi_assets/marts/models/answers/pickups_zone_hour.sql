SELECT f.source_month, f.dataset, f.company, {{ zone_of('f') }} AS pickup_location_id, {{ is_by_coordinates('f') }} AS is_zone_by_coordinates, z.borough, z.zone, f.pickup_hour,
  CAST(SUM(f.trips) AS {{ whole() }}) AS trips, CAST(SUM(f.net_trips) AS {{ whole() }}) AS net_trips
FROM {{ ref('fct_zone_hour') }} AS f
LEFT JOIN {{ ref('dim_zone') }} AS z ON z.location_id = {{ zone_of('f') }}
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
