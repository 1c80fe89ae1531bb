{# Tests of the rows that this run made, so that the hundredth month does not test a hundred. #}

{% test one_row_each(model, key, there) %}
SELECT {{ key | join(', ') }}
FROM {{ model }}
WHERE {{ of_this_run() }}
GROUP BY {{ key | join(', ') }}
HAVING COUNT(*) > 1 {% for column in there %} OR COUNT({{ column }}) < COUNT(*) {% endfor %}
{% endtest %}
