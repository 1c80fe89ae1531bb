WITH digits AS ({% for n in range(10) %}SELECT {{ n }} AS d {{ 'UNION ALL ' if not loop.last }}{% endfor %}),
days AS (
  SELECT {{ day_after("DATE '2009-01-01'", '(a.d + 10 * b.d + 100 * c.d + 1000 * e.d)') }} AS day
  FROM digits AS a CROSS JOIN digits AS b CROSS JOIN digits AS c CROSS JOIN digits AS e
),
parts AS (
  SELECT day, {{ part('year', 'day') }} AS year, {{ part('month', 'day') }} AS month, {{ part('day', 'day') }} AS day_of_month, {{ weekday('day') }} AS weekday
  FROM days
)
SELECT
  day AS date,
  year,
  {{ first_of_quarter('day') }} AS quarter,
  {{ first_of_month('day') }} AS month,
  weekday,
  weekday >= 6 AS is_weekend,
  CASE
    WHEN month = 1 AND day_of_month = 1 THEN 'New Year'
    WHEN month = 1 AND weekday = 1 AND day_of_month BETWEEN 15 AND 21 THEN 'Martin Luther King Day'
    WHEN month = 2 AND weekday = 1 AND day_of_month BETWEEN 15 AND 21 THEN 'Presidents Day'
    WHEN month = 5 AND weekday = 1 AND day_of_month >= 25 THEN 'Memorial Day'
    WHEN month = 6 AND day_of_month = 19 AND year >= 2021 THEN 'Juneteenth'
    WHEN month = 7 AND day_of_month = 4 THEN 'Independence Day'
    WHEN month = 9 AND weekday = 1 AND day_of_month <= 7 THEN 'Labor Day'
    WHEN month = 10 AND weekday = 1 AND day_of_month BETWEEN 8 AND 14 THEN 'Columbus Day'
    WHEN month = 11 AND day_of_month = 11 THEN 'Veterans Day'
    WHEN month = 11 AND weekday = 4 AND day_of_month BETWEEN 22 AND 28 THEN 'Thanksgiving'
    WHEN month = 12 AND day_of_month = 25 THEN 'Christmas Day'
  END AS holiday,
  CAST(CASE
    WHEN month = 3 AND weekday = 7 AND day_of_month BETWEEN 8 AND 14 THEN 23
    WHEN month = 11 AND weekday = 7 AND day_of_month <= 7 THEN 25
    ELSE 24
  END AS {{ whole() }}) AS hours_in_day,
  day >= DATE '{{ var("congestion_zone_begins") }}' AS is_congestion_zone_in_force
FROM parts
