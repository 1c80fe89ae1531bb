{#- Zones below 60th Street in Manhattan, by their names; zones that 60th Street cuts are left out. -#}
{%- set relief = [4, 12, 13, 45, 48, 50, 68, 79, 87, 88, 90, 100, 107, 113, 114, 125, 137, 144, 148, 158, 161, 162, 163, 164, 170, 186, 209, 211, 224, 229, 230, 231, 232, 233, 234, 246, 249, 261] -%}
SELECT
  CAST(location_id AS {{ whole() }}) AS location_id,
  zone,
  borough,
  service_zone,
  location_id NOT IN (264, 265) AS is_place,
  location_id IN (1, 132, 138) AS is_airport,
  location_id IN ({{ relief | join(', ') }}) AS is_in_congestion_zone
FROM {{ source('taxi', 'zones') }}
