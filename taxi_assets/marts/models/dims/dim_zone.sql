{#- Manhattan at and south of 60th Street. Measured on TLC's shapes: each of these zones lies with at least 98 % of its
    area south of that street, a block north of Central Park's southern edge, and no other zone with more than 26 %, but
    for the harbour's islands, which no road leads to. A test measures it again. -#}
{%- set relief = [4, 12, 13, 45, 48, 50, 68, 79, 87, 88, 90, 100, 107, 113, 114, 125, 137, 144, 148, 158, 161, 162, 163, 164, 170, 186, 209, 211, 224, 229, 230, 231, 232, 233, 234, 246, 249, 261] -%}
SELECT
  CAST(zones.location_id AS {{ whole() }}) AS location_id,
  zones.zone,
  zones.borough,
  zones.service_zone,
  zones.location_id NOT IN (264, 265) AS is_place,
  zones.location_id IN (1, 132, 138) AS is_airport,
  zones.location_id IN ({{ relief | join(', ') }}) AS is_in_congestion_zone,
  areas.area_km2,
  areas.longitude,
  areas.latitude
FROM {{ source('taxi', 'zones') }} AS zones
LEFT JOIN {{ source('taxi', 'zone_areas') }} AS areas ON areas.location_id = zones.location_id
