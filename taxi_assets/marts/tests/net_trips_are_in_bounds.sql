SELECT * FROM {{ ref('fct_zone_hour') }} WHERE {{ of_this_run() }} AND (net_trips < 0 OR net_trips > trips)
