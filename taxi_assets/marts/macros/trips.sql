{# The trips of a dataset in the vocabulary of the view `trips`. What a dataset lacks is NULL. #}

{% macro nothing(kind) -%} CAST(NULL AS {{ kind }}) {%- endmacro %}

{# Columns of one kind that the dataset lacks. #}
{% macro lacking(kind, names) -%}
  {%- for name in names %} {{ nothing(kind) }} AS {{ name }}{{ ',' if not loop.last }}{% endfor -%}
{%- endmacro %}
{% macro pay_and_wait_lacking() -%} {{ lacking(float(), ['driver_pay_usd']) }}, {{ lacking(whole(), ['wait_s']) }} {%- endmacro %}

{# Times are those of the wall clock. A trip that seems to end before it began, in the hour that is repeated. #}
{% macro clocks_went_back() -%}
  ({{ seconds_between('pickup_datetime', 'dropoff_datetime') }} BETWEEN -3599 AND -1
  AND {{ part('hour', 'pickup_datetime') }} = 1
  AND {{ part('month', 'pickup_datetime') }} = 11 AND {{ part('day', 'pickup_datetime') }} <= 7
  AND {{ weekday('pickup_datetime') }} = 7)
{%- endmacro %}

{# A trip across the hour that is left out in March. #}
{% macro clocks_went_forward() -%}
  ({{ part('month', 'dropoff_datetime') }} = 3 AND {{ part('day', 'dropoff_datetime') }} BETWEEN 8 AND 14
  AND {{ weekday('dropoff_datetime') }} = 7 AND {{ part('hour', 'dropoff_datetime') }} >= 3
  AND (CAST(pickup_datetime AS date) < CAST(dropoff_datetime AS date)
    OR {{ part('hour', 'pickup_datetime') }} < 2 AND CAST(pickup_datetime AS date) = CAST(dropoff_datetime AS date)))
{%- endmacro %}

{# Seconds that passed. Where the end is before the beginning for another reason, NULL. #}
{% macro duration_by_clock() -%}
  CASE
    WHEN {{ clocks_went_back() }} THEN {{ seconds_between('pickup_datetime', 'dropoff_datetime') }} + 3600
    WHEN {{ clocks_went_forward() }} THEN {{ seconds_between('pickup_datetime', 'dropoff_datetime') }} - 3600
    WHEN {{ seconds_between('pickup_datetime', 'dropoff_datetime') }} >= 0
      THEN {{ seconds_between('pickup_datetime', 'dropoff_datetime') }}
  END
{%- endmacro %}

{% macro is_within(column, bounds, otherwise='FALSE') -%}
  COALESCE({{ column }} BETWEEN {{ bounds[0] }} AND {{ bounds[1] }}, {{ otherwise }})
{%- endmacro %}
{% macro lasts_plausibly() -%}
  {{ is_within('duration_s', [var('plausible_minutes')[0] * 60, var('plausible_minutes')[1] * 60]) }}
{%- endmacro %}

{# `otherwise` is for columns without a value: those that old files of the dataset lack condemn no trip. #}
{% macro is_plausible(distance, fare, otherwise='FALSE') -%}
  ({{ lasts_plausibly() }}
  AND {{ is_within(distance, var('plausible_miles'), otherwise) }}
  AND COALESCE({{ distance }} * 3600.0 BETWEEN {{ var('plausible_mph')[0] }} * duration_s AND {{ var('plausible_mph')[1] }} * duration_s, {{ otherwise }})
  AND {{ is_within(fare, var('plausible_fare'), otherwise) }})
{%- endmacro %}

{# `by_coordinates` is false for models that need no zones, which would only cost time. #}
{% macro trips_of(dataset, by_coordinates=true) -%}
  {%- if dataset in ('yellow', 'green') -%} {{ metered_trips(dataset, by_coordinates) }}
  {%- elif dataset == 'fhv' -%} {{ fhv_trips() }}
  {%- else -%} {{ fhvhv_trips() }}
  {%- endif -%}
{%- endmacro %}

{# What every dataset has. #}
{% macro when_and_where(by_coordinates=false) -%}
  source_month,
  pickup_datetime,
  dropoff_datetime,
  CAST(pickup_location_id AS {{ whole() }}) AS pickup_location_id,
  CAST(dropoff_location_id AS {{ whole() }}) AS dropoff_location_id,
  {% if by_coordinates -%}
  pickup_zone_by_coordinates,
  dropoff_zone_by_coordinates,
  {%- else -%}
  {{ lacking(whole(), ['pickup_zone_by_coordinates', 'dropoff_zone_by_coordinates']) }},
  {%- endif %}
  duration_s
{%- endmacro %}

{% macro metered_trips(dataset, by_coordinates) -%}
SELECT
  '{{ dataset }}' AS dataset,
  '{{ dataset | capitalize }} taxi' AS company,
  {{ when_and_where(by_coordinates) }},
  trip_distance AS distance_mi,
  fare_amount AS fare_usd,
  extra AS extra_usd,
  mta_tax AS mta_tax_usd,
  improvement_surcharge AS improvement_surcharge_usd,
  congestion_surcharge AS congestion_surcharge_usd,
  {{ 'airport_fee' if dataset == 'yellow' else nothing(float()) }} AS airport_fee_usd,
  cbd_congestion_fee AS cbd_congestion_fee_usd,
  {{ lacking(float(), ['black_car_fund_usd', 'sales_tax_usd']) }},
  tolls_amount AS tolls_usd,
  tip_amount AS tip_usd,
  COALESCE(payment_type = 1, FALSE) AS tip_recorded,
  total_amount AS total_usd,
  {{ pay_and_wait_lacking() }},
  CAST(passenger_count AS {{ whole() }}) AS passengers,
  CAST(payment_type AS {{ whole() }}) AS payment_type,
  {{ lacking(bool(), ['shared_asked', 'shared_matched', 'wav_asked', 'wav_served', 'access_a_ride']) }},
  COALESCE(fare_amount < 0, FALSE) AS is_refund,
  COALESCE(payment_type, 0) = 0 AND passenger_count IS NULL AS is_null_block,
  {{ is_plausible('trip_distance', 'fare_amount') }} AS is_plausible
FROM (
  {%- set trips -%}
  SELECT source.*, {{ duration_by_clock() }} AS duration_s
    {%- if by_coordinates %}, {{ steps('pickup') }}, {{ steps('dropoff') }} {%- endif %}
  FROM {{ source('taxi', dataset ~ '_trips') }} AS source
  {%- endset -%}
  {{ with_zone('dropoff', with_zone('pickup', trips)) if by_coordinates else trips }}
) AS t
{%- endmacro %}

{% macro fhv_trips() -%}
SELECT
  'fhv' AS dataset,
  'For-hire bases' AS company,
  {{ when_and_where() }},
  {{ lacking(float(), ['distance_mi', 'fare_usd', 'extra_usd', 'mta_tax_usd', 'improvement_surcharge_usd',
    'congestion_surcharge_usd', 'airport_fee_usd', 'cbd_congestion_fee_usd', 'black_car_fund_usd', 'sales_tax_usd',
    'tolls_usd', 'tip_usd']) }},
  {{ nothing(bool()) }} AS tip_recorded,
  {{ nothing(float()) }} AS total_usd,
  {{ pay_and_wait_lacking() }},
  {{ lacking(whole(), ['passengers', 'payment_type']) }},
  {{ nothing(bool()) }} AS shared_asked,
  COALESCE(sr_flag = 1, FALSE) AS shared_matched,
  {{ lacking(bool(), ['wav_asked', 'wav_served', 'access_a_ride']) }},
  FALSE AS is_refund,
  FALSE AS is_null_block,
  {{ lasts_plausibly() }} AS is_plausible
FROM (SELECT source.*, {{ duration_by_clock() }} AS duration_s FROM {{ source('taxi', 'fhv_trips') }} AS source) AS t
{%- endmacro %}

{% macro fhvhv_trips() -%}
SELECT
  'fhvhv' AS dataset,
  CASE hvfhs_license_num
    WHEN 'HV0002' THEN 'Juno' WHEN 'HV0003' THEN 'Uber' WHEN 'HV0004' THEN 'Via' WHEN 'HV0005' THEN 'Lyft'
    ELSE hvfhs_license_num
  END AS company,
  {{ when_and_where() }},
  trip_miles AS distance_mi,
  base_passenger_fare AS fare_usd,
  {{ lacking(float(), ['extra_usd', 'mta_tax_usd', 'improvement_surcharge_usd']) }},
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
  {{ lacking(whole(), ['passengers', 'payment_type']) }},
  shared_request_flag = 'Y' AS shared_asked,
  COALESCE(shared_match_flag = 'Y', sr_flag = 1) AS shared_matched,
  wav_request_flag = 'Y' AS wav_asked,
  wav_match_flag = 'Y' AS wav_served,
  access_a_ride_flag = 'Y' AS access_a_ride,
  COALESCE(base_passenger_fare < 0, FALSE) AS is_refund,
  FALSE AS is_null_block,
  ({{ is_plausible('trip_miles', 'base_passenger_fare', otherwise='TRUE') }}
  AND {{ is_within('driver_pay', var('plausible_driver_pay'), otherwise='TRUE') }}) AS is_plausible
FROM (
  SELECT source.*, COALESCE(CAST(trip_time AS {{ whole() }}), {{ duration_by_clock() }}) AS duration_s
  FROM {{ source('taxi', 'fhvhv_trips') }} AS source
) AS t
{%- endmacro %}

{# The trips that this run makes marts of. #}
{% macro trips_of_this_run(by_coordinates=true) -%}
  {#- dbt takes what a model depends on from all calls, so name every source. -#}
  {%- set all = [source('taxi', 'yellow_trips'), source('taxi', 'green_trips'), source('taxi', 'fhv_trips'), source('taxi', 'fhvhv_trips'), source('taxi', 'zone_pieces')] -%}
  SELECT * FROM ({{ trips_of(var('dataset'), by_coordinates) }}) AS month_trips WHERE {{ in_months() }}
{%- endmacro %}

{# The trips that measures of a pair of zones are of. #}
{% macro is_between_zones(table) -%}
  is_plausible AND {{ zone_of(table) }} IS NOT NULL AND {{ zone_of(table, 'dropoff') }} IS NOT NULL
    AND COALESCE(NOT access_a_ride, TRUE)
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
{% macro flagged(column) -%} CAST(SUM(CASE WHEN {{ column }} THEN 1 WHEN NOT ({{ column }}) THEN 0 END) AS {{ whole() }}) {%- endmacro %}
