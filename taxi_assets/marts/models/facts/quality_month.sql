WITH t AS ({{ trips_of_this_run() }}),
pairs AS ({{ refund_pairs() }}),
paired AS (SELECT source_month, SUM(pairs) AS pairs FROM pairs GROUP BY 1),
manifests AS (
  {% for month in var('months') -%}
  {%- set found = var('manifests').get(month, [none, none]) -%}
  SELECT DATE '{{ month }}' AS source_month,
    CAST({{ 'NULL' if found[0] is none else found[0] }} AS {{ whole() }}) AS raw_rows,
    CAST({{ 'NULL' if found[1] is none else found[1] }} AS {{ whole() }}) AS rejected_rows
  {{ 'UNION ALL' if not loop.last }}
  {% endfor %}
),
sums AS (
  SELECT
    source_month,
    dataset,
    COUNT(*) AS trips,
    {{ rows_where('is_refund') }} AS refunds,
    {{ rows_where('is_null_block') }} AS null_block_trips,
    {{ rows_where('is_plausible') }} AS plausible_trips,
    {{ rows_where('pickup_location_id IS NULL') }} AS no_pickup_zone_trips,
    {{ rows_where('pickup_location_id IN (264, 265)') }} AS unknown_pickup_zone_trips,
    {{ rows_where('dropoff_location_id IS NULL') }} AS no_dropoff_zone_trips,
    {{ rows_where('dropoff_location_id IN (264, 265)') }} AS unknown_dropoff_zone_trips,
    CASE WHEN '{{ var("dataset") }}' IN ('yellow', 'green') THEN
      {{ rows_where(is_by_coordinates('t')) }} END AS pickup_zone_by_coordinates_trips,
    CASE WHEN '{{ var("dataset") }}' IN ('yellow', 'green') THEN
      {{ rows_where(is_by_coordinates('t', 'dropoff')) }} END AS dropoff_zone_by_coordinates_trips,
    {{ rows_where('dropoff_datetime IS NULL') }} AS no_dropoff_trips,
    {{ rows_where(first_of_month('pickup_datetime') ~ ' <> source_month') }} AS stray_trips,
    {{ rows_where('duration_s >= 82800') }} AS day_long_trips,
    {{ rows_where('dropoff_datetime < pickup_datetime') }} AS backward_trips,
    {{ rows_where(clocks_went_back() ~ ' OR ' ~ clocks_went_forward()) }} AS clock_change_trips,
    {{ flagged('distance_mi = 0') }} AS no_distance_trips,
    CASE WHEN '{{ var("dataset") }}' IN ('yellow', 'green') THEN {{ rows_where(
      cents('total_usd') ~ ' <> ' ~ cents("(fare_usd + COALESCE(extra_usd, 0) + COALESCE(mta_tax_usd, 0) + COALESCE(improvement_surcharge_usd, 0) + COALESCE(congestion_surcharge_usd, 0) + COALESCE(airport_fee_usd, 0) + COALESCE(cbd_congestion_fee_usd, 0) + COALESCE(tolls_usd, 0) + COALESCE(tip_usd, 0))")
    ) }} END AS unexplained_total_trips,
    CASE WHEN '{{ var("dataset") }}' IN ('yellow', 'green') THEN
      {{ sum_usd("total_usd") }} - {{ sum_usd("fare_usd") }} {% for part in ['extra', 'mta_tax', 'improvement_surcharge', 'congestion_surcharge', 'airport_fee', 'cbd_congestion_fee', 'tolls', 'tip'] %} - COALESCE({{ sum_usd(part ~ '_usd') }}, 0) {% endfor %}
    END AS unexplained_usd
  FROM t
  GROUP BY 1, 2
)
SELECT sums.*, raw_rows, rejected_rows, CAST(COALESCE(pairs, 0) AS {{ whole() }}) AS refund_pairs
FROM sums
LEFT JOIN paired ON paired.source_month = sums.source_month
LEFT JOIN manifests ON manifests.source_month = sums.source_month
