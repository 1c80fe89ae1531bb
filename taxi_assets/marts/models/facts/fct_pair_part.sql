WITH t AS (
  SELECT
    source_month,
    dataset,
    company,
    pickup_location_id,
    dropoff_location_id,
    pickup_zone_by_coordinates,
    dropoff_zone_by_coordinates,
    CASE
      WHEN {{ part('hour', 'pickup_datetime') }} < 6 THEN 'night'
      WHEN {{ part('hour', 'pickup_datetime') }} < 10 THEN 'morning'
      WHEN {{ part('hour', 'pickup_datetime') }} < 16 THEN 'midday'
      WHEN {{ part('hour', 'pickup_datetime') }} < 20 THEN 'evening'
      ELSE 'late'
    END AS part_of_day,
    {{ weekday('pickup_datetime') }} >= 6 AS is_weekend,
    CAST(FLOOR(duration_s / 60.0 + 0.5) AS {{ whole() }}) AS minutes,
    duration_s, distance_mi, fare_usd, tip_usd, tip_recorded, total_usd, driver_pay_usd
  FROM ({{ trips_of_this_run() }}) AS month_trips
  WHERE {{ is_between_zones('month_trips') }}
),
by_minute AS (
  SELECT
    source_month, dataset, company, pickup_location_id, dropoff_location_id, pickup_zone_by_coordinates,
    dropoff_zone_by_coordinates, part_of_day, is_weekend, minutes,
    COUNT(*) AS trips,
    SUM(duration_s) AS duration_s,
    SUM({{ milli('distance_mi') }}) AS milli_miles,
    SUM({{ cents('fare_usd') }}) AS fare_cents,
    SUM({{ cents('total_usd') }}) AS total_cents,
    SUM({{ cents('driver_pay_usd') }}) AS pay_cents
  FROM t
  {# In the order of the windows below, so that one sort serves both; what differs most is first, as rows are compared by it. #}
  GROUP BY pickup_location_id, dropoff_location_id, is_weekend, part_of_day, source_month, dataset, company,
    pickup_zone_by_coordinates, dropoff_zone_by_coordinates, minutes
),
ranked AS (
  SELECT
    by_minute.*,
    SUM(trips) OVER (
      PARTITION BY pickup_location_id, dropoff_location_id, is_weekend, part_of_day, source_month, dataset, company,
        pickup_zone_by_coordinates, dropoff_zone_by_coordinates
      ORDER BY minutes ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS up_to,
    SUM(trips) OVER (
      PARTITION BY pickup_location_id, dropoff_location_id, is_weekend, part_of_day, source_month, dataset, company,
        pickup_zone_by_coordinates, dropoff_zone_by_coordinates
    ) AS of_all
  FROM by_minute
)
SELECT
  source_month,
  dataset,
  company,
  pickup_location_id,
  dropoff_location_id,
  pickup_zone_by_coordinates,
  dropoff_zone_by_coordinates,
  part_of_day,
  is_weekend,
  CAST(SUM(trips) AS {{ whole() }}) AS plausible_trips,
  CAST(SUM(duration_s) AS {{ whole() }}) AS sum_duration_s,
  CAST(SUM(milli_miles) AS {{ exact() }}) / 1000 AS sum_distance_mi,
  CAST(SUM(fare_cents) AS {{ exact() }}) / 100 AS sum_fare_usd,
  CAST(SUM(total_cents) AS {{ exact() }}) / 100 AS sum_total_usd,
  CAST(SUM(pay_cents) AS {{ exact() }}) / 100 AS sum_driver_pay_usd,
  {# The minute at which half, or nine of ten trips, have arrived. #}
  CAST(MIN(CASE WHEN up_to * 2 >= of_all THEN minutes END) AS {{ whole() }}) AS p50_minutes,
  CAST(MIN(CASE WHEN up_to * 10 >= of_all * 9 THEN minutes END) AS {{ whole() }}) AS p90_minutes
FROM ranked
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
