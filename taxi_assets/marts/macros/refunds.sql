{# Refunds that have a twin: the same trip with the same fare, positive. Each pair is a trip that was taken back. #}
{% macro refund_pairs() -%}
  SELECT n.company, n.source_month, n.pickup_datetime, n.pickup_location_id,
    n.pickup_zone_by_coordinates, LEAST(n.negatives, COUNT(*)) AS pairs
  FROM (
    SELECT company, source_month, pickup_datetime, dropoff_datetime, pickup_location_id, dropoff_location_id,
      pickup_zone_by_coordinates, dropoff_zone_by_coordinates, -{{ cents('fare_usd') }} AS cents, COUNT(*) AS negatives
    FROM t WHERE is_refund
    GROUP BY company, source_month, pickup_datetime, dropoff_datetime, pickup_location_id, dropoff_location_id,
      pickup_zone_by_coordinates, dropoff_zone_by_coordinates, {{ cents('fare_usd') }}
  ) AS n
  JOIN t AS p
    ON p.source_month = n.source_month AND p.company = n.company AND p.pickup_datetime = n.pickup_datetime
    AND p.dropoff_datetime = n.dropoff_datetime
    AND COALESCE({{ zone_of('p') }}, 0) = COALESCE({{ zone_of('n') }}, 0)
    AND COALESCE({{ zone_of('p', 'dropoff') }}, 0) = COALESCE({{ zone_of('n', 'dropoff') }}, 0)
    AND p.fare_usd > 0 AND {{ cents('p.fare_usd') }} = n.cents
  GROUP BY n.company, n.source_month, n.pickup_datetime, n.dropoff_datetime, n.pickup_location_id, n.dropoff_location_id,
    n.pickup_zone_by_coordinates, n.dropoff_zone_by_coordinates, n.cents, n.negatives
{%- endmacro %}
