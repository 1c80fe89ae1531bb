"""Names of objects and tables of a dataset with an underscore in its name, next to one whose name it begins with."""

from datetime import date

from taxi_assets.contract.object_names import WHOLE_TABLE_OBJECTS, clean_object, raw_prefix, rejected_object
from taxi_assets.contract.tables import TABLES, trips_table

APRIL = date(2020, 4, 1)
NAMES = ("green", "green_trips", "green_trips_2020")


def test_names_of_datasets_do_not_collide() -> None:
    for name_of in (lambda n: clean_object(n, APRIL), lambda n: rejected_object(n, APRIL), raw_prefix, trips_table):
        assert len({name_of(name) for name in NAMES}) == len(NAMES)
    for name in NAMES:
        assert not any(raw_prefix(name).startswith(raw_prefix(other)) for other in NAMES if other != name)


def test_every_table_that_is_replaced_whole_has_its_object_to_be_rebuilt_from() -> None:
    assert set(WHOLE_TABLE_OBJECTS) == {table.name for table in TABLES.values() if not table.by_month}
    assert len(set(WHOLE_TABLE_OBJECTS.values())) == len(WHOLE_TABLE_OBJECTS)
