WITH sums AS (
  SELECT f.source_month, f.dataset, f.company, {{ zone_of('f') }} AS pickup_location_id, {{ is_by_coordinates('f') }} AS is_zone_by_coordinates, f.pickup_hour,
    CAST(SUM(f.trips) AS {{ whole() }}) AS trips, CAST(SUM(f.net_trips) AS {{ whole() }}) AS net_trips
  FROM {{ ref('fct_zone_hour') }} AS f
  GROUP BY 1, 2, 3, 4, 5, 6
)
SELECT sums.source_month, sums.dataset, sums.company, sums.pickup_location_id, sums.is_zone_by_coordinates, z.borough, z.zone, sums.pickup_hour,
  sums.trips, sums.net_trips
FROM sums
LEFT JOIN {{ ref('dim_zone') }} AS z ON z.location_id = sums.pickup_location_id
