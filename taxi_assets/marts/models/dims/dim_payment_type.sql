{%- set payments = ['Flex fare', 'Credit card', 'Cash', 'No charge', 'Dispute', 'Unknown', 'Voided'] -%}
{% for name in payments %}
SELECT CAST({{ loop.index0 }} AS {{ whole() }}) AS payment_type, '{{ name }}' AS payment {{ 'UNION ALL' if not loop.last }}
{% endfor %}
