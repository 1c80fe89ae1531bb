WITH days AS (
  SELECT pickup_date, dataset, company, CAST(SUM(trips) AS {{ whole() }}) AS trips, CAST(SUM(net_trips) AS {{ whole() }}) AS net_trips
  FROM {{ ref('fct_zone_hour') }} GROUP BY 1, 2, 3
)
SELECT pickup_date, dataset, company, trips, net_trips,
  {{ ratio('net_trips', 'SUM(net_trips) OVER (PARTITION BY pickup_date)') }} AS share_of_trips
FROM days
