{%- set fees = ['extra', 'mta_tax', 'improvement_surcharge', 'congestion_surcharge', 'airport_fee', 'cbd_congestion_fee', 'black_car_fund', 'sales_tax', 'tolls'] -%}
WITH t AS ({{ trips_of_this_run() }}),
pairs AS ({{ refund_pairs() }}),
twins AS (
  SELECT source_month, company, CAST(pickup_datetime AS date) AS pickup_date, {{ part('hour', 'pickup_datetime') }} AS pickup_hour,
    pickup_location_id, pickup_zone_by_coordinates, SUM(pairs) AS pairs
  FROM pairs GROUP BY 1, 2, 3, 4, 5, 6
),
sums AS (
  SELECT
    source_month,
    dataset,
    company,
    CAST(pickup_datetime AS date) AS pickup_date,
    {{ part('hour', 'pickup_datetime') }} AS pickup_hour,
    pickup_location_id,
    pickup_zone_by_coordinates,
    COUNT(*) AS trips,
    {{ rows_where('is_refund') }} AS refunds,
    {{ rows_where('is_null_block') }} AS null_block_trips,
    {{ rows_where('is_plausible') }} AS plausible_trips,
    {{ sum_whole('duration_s') }} AS sum_duration_s,
    {{ sum_miles('distance_mi') }} AS sum_distance_mi,
    {{ sum_whole('duration_s', 'is_plausible') }} AS sum_plausible_duration_s,
    {{ sum_miles('distance_mi', 'is_plausible') }} AS sum_plausible_distance_mi,
    {{ sum_usd('fare_usd') }} AS sum_fare_usd,
    {% for fee in fees -%}
    {{ sum_usd(fee ~ '_usd') }} AS sum_{{ fee }}_usd,
    {% endfor -%}
    {{ sum_usd('tip_usd') }} AS sum_tip_usd,
    {{ flagged('tip_recorded') }} AS tip_recorded_trips,
    {{ sum_usd('tip_usd', 'tip_recorded') }} AS sum_recorded_tip_usd,
    {{ sum_usd('fare_usd', 'tip_recorded') }} AS sum_fare_where_tip_recorded_usd,
    {{ sum_usd('total_usd') }} AS sum_total_usd,
    {{ sum_usd('driver_pay_usd') }} AS sum_driver_pay_usd,
    {{ sum_usd('fare_usd', 'driver_pay_usd IS NOT NULL') }} AS sum_fare_where_paid_usd,
    {{ sum_whole('wait_s') }} AS sum_wait_s,
    CASE WHEN '{{ var("dataset") }}' = 'fhvhv' THEN COUNT(wait_s) END AS wait_trips,
    {{ sum_whole('passengers') }} AS passengers,
    CASE WHEN '{{ var("dataset") }}' IN ('yellow', 'green') THEN COUNT(passengers) END AS passenger_trips,
    {{ flagged('shared_asked') }} AS shared_asked_trips,
    {{ flagged('shared_matched') }} AS shared_matched_trips,
    {{ flagged('wav_asked') }} AS wav_asked_trips,
    {{ flagged('wav_served') }} AS wav_served_trips,
    {{ flagged('wav_asked AND wav_served') }} AS wav_asked_and_served_trips
  FROM t
  GROUP BY 1, 2, 3, 4, 5, 6, 7
)
SELECT
  sums.*,
  sums.trips - 2 * CAST(COALESCE(twins.pairs, 0) AS {{ whole() }}) AS net_trips
FROM sums
LEFT JOIN twins
  ON twins.source_month = sums.source_month AND twins.company = sums.company AND twins.pickup_date = sums.pickup_date
  AND twins.pickup_hour = sums.pickup_hour
  AND COALESCE({{ zone_of('twins') }}, 0) = COALESCE({{ zone_of('sums') }}, 0)
