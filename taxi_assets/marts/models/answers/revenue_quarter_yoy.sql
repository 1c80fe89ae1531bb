WITH quarters AS (
  SELECT {{ first_of_quarter('source_month') }} AS quarter, dataset, CAST(COUNT(DISTINCT source_month) AS {{ whole() }}) AS months,
    CAST(SUM(net_trips) AS {{ whole() }}) AS net_trips, SUM(sum_total_usd) AS total_usd
  FROM {{ ref('fct_zone_hour') }} WHERE dataset <> 'fhv' GROUP BY 1, 2
)
SELECT this.quarter, this.dataset, this.months, this.net_trips, this.total_usd, past.total_usd AS total_usd_a_year_before,
  CASE WHEN this.months = past.months THEN {{ ratio('this.total_usd - past.total_usd', 'past.total_usd') }} END AS growth
FROM quarters AS this
LEFT JOIN quarters AS past
  ON past.dataset = this.dataset
  AND {{ part('year', 'past.quarter') }} = {{ part('year', 'this.quarter') }} - 1
  AND {{ part('month', 'past.quarter') }} = {{ part('month', 'this.quarter') }}
