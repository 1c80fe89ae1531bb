{%- set services = [('yellow', 'Yellow taxi'), ('green', 'Green taxi'), ('fhv', 'For-hire bases'), ('fhvhv', 'Uber'), ('fhvhv', 'Lyft'), ('fhvhv', 'Via'), ('fhvhv', 'Juno')] -%}
{% for dataset, company in services %}
SELECT '{{ dataset }}' AS dataset, '{{ company }}' AS company {{ 'UNION ALL' if not loop.last }}
{% endfor %}
