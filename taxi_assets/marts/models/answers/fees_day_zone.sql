{%- set fees = ['mta_tax', 'improvement_surcharge', 'congestion_surcharge', 'airport_fee', 'cbd_congestion_fee', 'tolls'] -%}
SELECT f.pickup_date, f.dataset, f.company, f.pickup_location_id, z.borough, z.zone, CAST(SUM(f.trips) AS {{ whole() }}) AS trips
  {% for fee in fees -%} , SUM(f.sum_{{ fee }}_usd) AS {{ fee }}_usd {% endfor %}
FROM {{ ref('fct_zone_hour') }} AS f
LEFT JOIN {{ ref('dim_zone') }} AS z ON z.location_id = f.pickup_location_id
WHERE f.dataset <> 'fhv'
GROUP BY 1, 2, 3, 4, 5, 6
