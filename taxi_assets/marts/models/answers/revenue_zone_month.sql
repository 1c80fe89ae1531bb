{%- set parts = ['fare', 'extra', 'mta_tax', 'improvement_surcharge', 'congestion_surcharge', 'airport_fee', 'cbd_congestion_fee', 'black_car_fund', 'sales_tax', 'tolls', 'tip', 'total'] -%}
WITH sums AS (
  SELECT f.source_month, f.dataset, f.company, {{ zone_of('f') }} AS pickup_location_id, {{ is_by_coordinates('f') }} AS is_zone_by_coordinates,
    CAST(SUM(f.net_trips) AS {{ whole() }}) AS net_trips
    {% for part in parts -%} , SUM(f.sum_{{ part }}_usd) AS {{ part }}_usd {% endfor %}
  FROM {{ ref('fct_zone_hour') }} AS f
  WHERE f.dataset <> 'fhv'
  GROUP BY 1, 2, 3, 4, 5
)
SELECT sums.source_month, sums.dataset, sums.company, sums.pickup_location_id, sums.is_zone_by_coordinates, z.borough, z.zone, sums.net_trips
  {% for part in parts -%} , sums.{{ part }}_usd {% endfor %}
FROM sums
LEFT JOIN {{ ref('dim_zone') }} AS z ON z.location_id = sums.pickup_location_id
