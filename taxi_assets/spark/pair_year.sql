{#- Percentiles of a year cannot be made from those of its months. -#}
{%- set measures = [
  ('duration_s', 'duration_s', 1, 'duration_s IS NOT NULL'),
  ('distance_mi', milli('distance_mi'), 1000, 'distance_mi IS NOT NULL'),
  ('fare_usd', cents('fare_usd'), 100, 'fare_usd IS NOT NULL'),
  ('total_usd', cents('total_usd'), 100, 'total_usd IS NOT NULL'),
] -%}
WITH t AS (
  SELECT
    {{ part('year', 'source_month') }} AS year,
    dataset,
    {{ zone_of('year_trips') }} AS pickup_location_id,
    {{ zone_of('year_trips', 'dropoff') }} AS dropoff_location_id,
    duration_s, distance_mi, fare_usd, total_usd
  FROM ({{ trips_of_this_run() }}) AS year_trips
  WHERE {{ is_between_zones('year_trips') }}
),
{{ percentiles(['year', 'dataset', 'pickup_location_id', 'dropoff_location_id'], measures, (10, 25, 50, 75, 90, 95, 99)) }}
