{%- set fees = ['mta_tax', 'improvement_surcharge', 'congestion_surcharge', 'airport_fee', 'cbd_congestion_fee', 'tolls'] -%}
SELECT f.pickup_date, f.dataset, f.company, {{ zone_of('f') }} AS pickup_location_id, {{ is_by_coordinates('f') }} AS is_zone_by_coordinates, z.borough, z.zone, CAST(SUM(f.trips) AS {{ whole() }}) AS trips
  {% for fee in fees -%} , SUM(f.sum_{{ fee }}_usd) AS {{ fee }}_usd {% endfor %}
FROM {{ ref('fct_zone_hour') }} AS f
LEFT JOIN {{ ref('dim_zone') }} AS z ON z.location_id = {{ zone_of('f') }}
WHERE f.dataset <> 'fhv'
GROUP BY 1, 2, 3, 4, 5, 6, 7
