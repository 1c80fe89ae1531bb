{# The trips of a dataset in the vocabulary of the view `trips`. What a dataset lacks is NULL. #}

{% macro nothing(kind) -%} CAST(NULL AS {{ kind }}) {%- endmacro %}

{# Negative durations are NULL, except in the night in which the clocks go back: there, an hour is missing. #}
{% macro duration_by_clock() -%}
  CASE
    WHEN {{ seconds_between('pickup_datetime', 'dropoff_datetime') }} >= 0
      THEN {{ seconds_between('pickup_datetime', 'dropoff_datetime') }}
    WHEN {{ seconds_between('pickup_datetime', 'dropoff_datetime') }} > -3600
      AND {{ part('hour', 'pickup_datetime') }} = 1
      AND {{ part('month', 'pickup_datetime') }} = 11
      AND {{ part('day', 'pickup_datetime') }} <= 7
      AND {{ weekday('pickup_datetime') }} = 7
      THEN {{ seconds_between('pickup_datetime', 'dropoff_datetime') }} + 3600
  END
{%- endmacro %}

{% macro is_plausible(duration, distance, fare) -%}
  (COALESCE({{ distance }} BETWEEN {{ var('plausible_miles')[0] }} AND {{ var('plausible_miles')[1] }}, FALSE)
  AND COALESCE({{ duration }} BETWEEN {{ var('plausible_minutes')[0] * 60 }} AND {{ var('plausible_minutes')[1] * 60 }}, FALSE)
  AND COALESCE({{ distance }} * 3600.0 BETWEEN {{ var('plausible_mph')[0] }} * {{ duration }} AND {{ var('plausible_mph')[1] }} * {{ duration }}, FALSE)
  AND COALESCE({{ fare }} BETWEEN {{ var('plausible_fare')[0] }} AND {{ var('plausible_fare')[1] }}, FALSE))
{%- endmacro %}

{% macro trips_of(dataset) -%}
  {%- if dataset in ('yellow', 'green') -%} {{ metered_trips(dataset) }}
  {%- elif dataset == 'fhv' -%} {{ fhv_trips() }}
  {%- else -%} {{ fhvhv_trips() }}
  {%- endif -%}
{%- endmacro %}

{% macro metered_trips(dataset) -%}
SELECT
  '{{ dataset }}' AS dataset,
  '{{ dataset | capitalize }} taxi' AS company,
  source_month,
  pickup_datetime,
  dropoff_datetime,
  pickup_location_id,
  dropoff_location_id,
  duration_s,
  trip_distance AS distance_mi,
  fare_amount AS fare_usd,
  extra AS extra_usd,
  mta_tax AS mta_tax_usd,
  improvement_surcharge AS improvement_surcharge_usd,
  congestion_surcharge AS congestion_surcharge_usd,
  {{ 'airport_fee' if dataset == 'yellow' else nothing(float()) }} AS airport_fee_usd,
  cbd_congestion_fee AS cbd_congestion_fee_usd,
  {{ nothing(float()) }} AS black_car_fund_usd,
  {{ nothing(float()) }} AS sales_tax_usd,
  tolls_amount AS tolls_usd,
  tip_amount AS tip_usd,
  COALESCE(payment_type = 1, FALSE) AS tip_recorded,
  total_amount AS total_usd,
  {{ nothing(float()) }} AS driver_pay_usd,
  {{ nothing(whole()) }} AS wait_s,
  CAST(passenger_count AS {{ whole() }}) AS passengers,
  CAST(payment_type AS {{ whole() }}) AS payment_type,
  {{ nothing(bool()) }} AS shared_asked,
  {{ nothing(bool()) }} AS shared_matched,
  {{ nothing(bool()) }} AS wav_asked,
  {{ nothing(bool()) }} AS wav_served,
  {{ nothing(bool()) }} AS access_a_ride,
  COALESCE(fare_amount < 0, FALSE) AS is_refund,
  COALESCE(payment_type, 0) = 0 AND passenger_count IS NULL AS is_null_block,
  {{ is_plausible('duration_s', 'trip_distance', 'fare_amount') }} AS is_plausible
FROM (SELECT source.*, {{ duration_by_clock() }} AS duration_s FROM {{ source('taxi', dataset ~ '_trips') }} AS source) AS t
{%- endmacro %}

{% macro fhv_trips() -%}
SELECT
  'fhv' AS dataset,
  'For-hire bases' AS company,
  source_month,
  pickup_datetime,
  dropoff_datetime,
  pickup_location_id,
  dropoff_location_id,
  duration_s,
  {% for name in ['distance_mi', 'fare_usd', 'extra_usd', 'mta_tax_usd', 'improvement_surcharge_usd',
    'congestion_surcharge_usd', 'airport_fee_usd', 'cbd_congestion_fee_usd', 'black_car_fund_usd', 'sales_tax_usd',
    'tolls_usd', 'tip_usd'] -%}
  {{ nothing(float()) }} AS {{ name }},
  {% endfor -%}
  {{ nothing(bool()) }} AS tip_recorded,
  {{ nothing(float()) }} AS total_usd,
  {{ nothing(float()) }} AS driver_pay_usd,
  {{ nothing(whole()) }} AS wait_s,
  {{ nothing(whole()) }} AS passengers,
  {{ nothing(whole()) }} AS payment_type,
  {{ nothing(bool()) }} AS shared_asked,
  COALESCE(sr_flag = 1, FALSE) AS shared_matched,
  {{ nothing(bool()) }} AS wav_asked,
  {{ nothing(bool()) }} AS wav_served,
  {{ nothing(bool()) }} AS access_a_ride,
  FALSE AS is_refund,
  FALSE AS is_null_block,
  COALESCE(duration_s BETWEEN {{ var('plausible_minutes')[0] * 60 }} AND {{ var('plausible_minutes')[1] * 60 }}, FALSE) AS is_plausible
FROM (SELECT source.*, {{ duration_by_clock() }} AS duration_s FROM {{ source('taxi', 'fhv_trips') }} AS source) AS t
{%- endmacro %}

{% macro fhvhv_trips() -%}
SELECT
  'fhvhv' AS dataset,
  CASE hvfhs_license_num
    WHEN 'HV0002' THEN 'Juno' WHEN 'HV0003' THEN 'Uber' WHEN 'HV0004' THEN 'Via' WHEN 'HV0005' THEN 'Lyft'
    ELSE hvfhs_license_num
  END AS company,
  source_month,
  pickup_datetime,
  dropoff_datetime,
  pickup_location_id,
  dropoff_location_id,
  duration_s,
  trip_miles AS distance_mi,
  base_passenger_fare AS fare_usd,
  {{ nothing(float()) }} AS extra_usd,
  {{ nothing(float()) }} AS mta_tax_usd,
  {{ nothing(float()) }} AS improvement_surcharge_usd,
  congestion_surcharge AS congestion_surcharge_usd,
  airport_fee AS airport_fee_usd,
  cbd_congestion_fee AS cbd_congestion_fee_usd,
  bcf AS black_car_fund_usd,
  sales_tax AS sales_tax_usd,
  tolls AS tolls_usd,
  tips AS tip_usd,
  tips IS NOT NULL AS tip_recorded,
  base_passenger_fare + COALESCE(tolls, 0) + COALESCE(bcf, 0) + COALESCE(sales_tax, 0)
    + COALESCE(congestion_surcharge, 0) + COALESCE(airport_fee, 0) + COALESCE(cbd_congestion_fee, 0)
    + COALESCE(tips, 0) AS total_usd,
  driver_pay AS driver_pay_usd,
  CASE WHEN {{ seconds_between('request_datetime', 'pickup_datetime') }} >= 0
    THEN {{ seconds_between('request_datetime', 'pickup_datetime') }} END AS wait_s,
  {{ nothing(whole()) }} AS passengers,
  {{ nothing(whole()) }} AS payment_type,
  shared_request_flag = 'Y' AS shared_asked,
  COALESCE(shared_match_flag = 'Y', sr_flag = 1) AS shared_matched,
  wav_request_flag = 'Y' AS wav_asked,
  wav_match_flag = 'Y' AS wav_served,
  access_a_ride_flag = 'Y' AS access_a_ride,
  COALESCE(base_passenger_fare < 0, FALSE) AS is_refund,
  FALSE AS is_null_block,
  {{ is_plausible('duration_s', 'trip_miles', 'base_passenger_fare') }} AS is_plausible
FROM (
  SELECT source.*, COALESCE(CAST(trip_time AS {{ whole() }}), {{ duration_by_clock() }}) AS duration_s
  FROM {{ source('taxi', 'fhvhv_trips') }} AS source
) AS t
{%- endmacro %}

{# The trips that this run makes marts of. #}
{% macro trips_of_this_run() -%}
  {#- dbt takes what a model depends on from all calls, so name every source. -#}
  {%- set all = [source('taxi', 'yellow_trips'), source('taxi', 'green_trips'), source('taxi', 'fhv_trips'), source('taxi', 'fhvhv_trips')] -%}
  SELECT * FROM ({{ trips_of(var('dataset')) }}) AS month_trips WHERE {{ in_months() }}
{%- endmacro %}

{# Sums that are the same in any order on any engine: whole cents, or thousandths of a mile, row by row. #}
{% macro cents(column) -%} FLOOR({{ column }} * 100.0 + 0.5) {%- endmacro %}
{% macro milli(column) -%} FLOOR({{ column }} * 1000.0 + 0.5) {%- endmacro %}
{% macro sum_usd(column, condition=none) -%}
  CAST(SUM({% if condition %}CASE WHEN {{ condition }} THEN {{ cents(column) }} END{% else %}{{ cents(column) }}{% endif %}) AS {{ exact() }}) / 100
{%- endmacro %}
{% macro sum_miles(column, condition=none) -%}
  CAST(SUM({% if condition %}CASE WHEN {{ condition }} THEN {{ milli(column) }} END{% else %}{{ milli(column) }}{% endif %}) AS {{ exact() }}) / 1000
{%- endmacro %}
{% macro sum_whole(column, condition=none) -%}
  CAST(SUM({% if condition %}CASE WHEN {{ condition }} THEN {{ column }} END{% else %}{{ column }}{% endif %}) AS {{ whole() }})
{%- endmacro %}
{% macro rows_where(condition) -%} CAST(SUM(CASE WHEN {{ condition }} THEN 1 ELSE 0 END) AS {{ whole() }}) {%- endmacro %}
{# NULL where the dataset has no such column. #}
{% macro flagged(column) -%} CAST(SUM(CASE WHEN {{ column }} THEN 1 WHEN NOT {{ column }} THEN 0 END) AS {{ whole() }}) {%- endmacro %}
