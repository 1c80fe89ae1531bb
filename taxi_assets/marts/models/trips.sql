{% for dataset in ['yellow', 'green', 'fhv', 'fhvhv'] %}
{{ trips_of(dataset) }}
{{ 'UNION ALL' if not loop.last }}
{% endfor %}
