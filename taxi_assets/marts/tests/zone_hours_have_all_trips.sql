SELECT hours.trips, quality.trips AS expected
FROM (SELECT SUM(trips) AS trips FROM {{ ref('fct_zone_hour') }} WHERE {{ of_this_run() }}) AS hours
CROSS JOIN (SELECT SUM(trips) AS trips FROM {{ ref('quality_month') }} WHERE {{ of_this_run() }}) AS quality
WHERE COALESCE(hours.trips, 0) <> COALESCE(quality.trips, 0)
