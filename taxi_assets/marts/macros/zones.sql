{# The zones of trips: those of the file, and where it has coordinates instead, those of the point. #}

{# Longitude and latitude in whole steps of 1e-7 degrees, where the file has no zone. #}
{% macro steps(end) -%}
  {%- for axis, column, least in (('x', end ~ '_longitude', 180), ('y', end ~ '_latitude', 90)) -%}
  CASE WHEN {{ end }}_location_id IS NULL AND {{ column }} BETWEEN -{{ least }} AND {{ least }}
    THEN FLOOR(({{ column }} + {{ least }}) * 10000000 + 0.5) END AS {{ end }}_{{ axis }}{{ ', ' if axis == 'x' }}
  {%- endfor -%}
{%- endmacro %}

{# The trips with the zone that a point is in: its cell has exactly one piece that holds the point, or is not listed. A
   LEFT JOIN by more than the cell would be slow where an engine joins by hash on equalities alone. #}
{% macro with_zone(end, trips) -%}
  {%- set x = '(t.' ~ end ~ '_x - piece.cell_x * 20000)' -%}
  {%- set y = '(t.' ~ end ~ '_y - piece.cell_y * 20000)' -%}
  SELECT t.*, CAST(piece.location_id AS {{ whole() }}) AS {{ end }}_zone_by_coordinates
  FROM ({{ trips }}) AS t
  LEFT JOIN {{ source('taxi', 'zone_pieces') }} AS piece
    ON piece.cell_x = CAST(FLOOR(t.{{ end }}_x / 20000) AS {{ whole() }})
    AND piece.cell_y = CAST(FLOOR(t.{{ end }}_y / 20000) AS {{ whole() }})
  WHERE piece.cell_x IS NULL OR (
    {{ x }} >= piece.x_from AND {{ x }} < piece.x_to
    AND piece.low_a * {{ y }} >= piece.low_b * {{ x }} + piece.low_c
    AND piece.high_a * {{ y }} < piece.high_b * {{ x }} + piece.high_c
  )
{%- endmacro %}

{% macro zone_of(table, end='pickup') -%}
  COALESCE({{ table }}.{{ end }}_location_id, {{ table }}.{{ end }}_zone_by_coordinates)
{%- endmacro %}

{% macro is_by_coordinates(table, end='pickup') -%} ({{ table }}.{{ end }}_zone_by_coordinates IS NOT NULL) {%- endmacro %}
