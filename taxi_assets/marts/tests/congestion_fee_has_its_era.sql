{# The charge began on 2025-01-05; a dollar of it before would be a column read wrongly. #}
SELECT * FROM {{ ref('fct_zone_hour') }}
WHERE {{ of_this_run() }} AND source_month < DATE '2025-01-01' AND sum_cbd_congestion_fee_usd <> 0
