{# Refunds that have a twin: the same trip with the same fare, positive. Each pair is a trip that was taken back. #}
{% macro refund_pairs() -%}
  SELECT n.company, n.source_month, n.pickup_datetime, n.pickup_location_id, LEAST(n.negatives, COUNT(*)) AS pairs
  FROM (
    SELECT company, source_month, pickup_datetime, dropoff_datetime, pickup_location_id, dropoff_location_id,
      -{{ cents('fare_usd') }} AS cents, COUNT(*) AS negatives
    FROM t WHERE is_refund
    GROUP BY company, source_month, pickup_datetime, dropoff_datetime, pickup_location_id, dropoff_location_id, {{ cents('fare_usd') }}
  ) AS n
  JOIN t AS p
    ON p.source_month = n.source_month AND p.company = n.company AND p.pickup_datetime = n.pickup_datetime
    AND p.dropoff_datetime = n.dropoff_datetime
    AND COALESCE(p.pickup_location_id, 0) = COALESCE(n.pickup_location_id, 0)
    AND COALESCE(p.dropoff_location_id, 0) = COALESCE(n.dropoff_location_id, 0)
    AND p.fare_usd > 0 AND {{ cents('p.fare_usd') }} = n.cents
  GROUP BY n.company, n.source_month, n.pickup_datetime, n.dropoff_datetime, n.pickup_location_id, n.dropoff_location_id, n.cents, n.negatives
{%- endmacro %}
