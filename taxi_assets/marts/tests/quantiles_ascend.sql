SELECT * FROM {{ ref('fct_month_quantiles') }} WHERE {{ of_this_run() }} AND NOT (p50 <= p90 AND p90 <= p95 AND p95 <= p97)
