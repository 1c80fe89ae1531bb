SELECT f.source_month, f.dataset, f.company, f.pickup_location_id, z.borough, z.zone, f.pickup_hour,
  CAST(SUM(f.trips) AS {{ whole() }}) AS trips, CAST(SUM(f.net_trips) AS {{ whole() }}) AS net_trips
FROM {{ ref('fct_zone_hour') }} AS f
LEFT JOIN {{ ref('dim_zone') }} AS z ON z.location_id = f.pickup_location_id
GROUP BY 1, 2, 3, 4, 5, 6, 7
