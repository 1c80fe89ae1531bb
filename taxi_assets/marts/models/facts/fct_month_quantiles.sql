{%- set card_or_cash = "(payment_type IN (1, 2) OR dataset = 'fhvhv')" -%}
{%- set measures = [
  ('duration_s', 'duration_s', 1, 'duration_s > 0 AND NOT is_refund'),
  ('distance_mi', milli('distance_mi'), 1000, 'distance_mi > 0 AND NOT is_refund'),
  ('fare_usd', cents('fare_usd'), 100, 'fare_usd > 0 AND distance_mi > 0 AND ' ~ card_or_cash),
  ('fare_any_payment_usd', cents('fare_usd'), 100, 'fare_usd > 0 AND distance_mi > 0'),
  ('total_usd', cents('total_usd'), 100, 'total_usd > 0 AND distance_mi > 0'),
  ('driver_pay_usd', cents('driver_pay_usd'), 100, 'driver_pay_usd > 0'),
  ('wait_s', 'wait_s', 1, 'wait_s >= 0'),
] -%}
WITH t AS ({{ trips_of_this_run(by_coordinates=false) }}),
{{ percentiles(['source_month', 'dataset'], measures, (50, 90, 95, 97)) }}
