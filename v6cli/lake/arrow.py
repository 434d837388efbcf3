"""From rows to Arrow, in arro3: pyarrow would pull pandas into every process that writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from v6cli.lake.rows import Row
from v6cli.lake.schemas import Column, TableSchema

if TYPE_CHECKING:
    from arro3.core import Array, DataType, RecordBatch, Schema

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY = date(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


def arrow_schema(table: TableSchema) -> Schema:
    """The table's columns as an Arrow schema."""
    from arro3.core import Field, Schema

    return Schema([Field(column.name, _data_type(column), nullable=not column.required) for column in table.columns])


def record_batch(table: TableSchema, rows: Sequence[Row]) -> RecordBatch:
    """The rows as one Arrow batch with the table's schema. A column that a row lacks is a KeyError: rows are whole."""
    from arro3.core import RecordBatch

    arrays = [_array(column, [row[column.name] for row in rows]) for column in table.columns]
    return RecordBatch.from_arrays(arrays, schema=arrow_schema(table))


def microseconds(moment: datetime) -> int:
    """A moment as Delta stores it: microseconds since 1970-01-01 UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def _data_type(column: Column) -> DataType:
    from arro3.core import DataType

    match column.type:
        case "text":
            return DataType.utf8()
        case "integer":
            return DataType.int64()
        case "real":
            return DataType.float64()
        case "timestamp":
            return DataType.timestamp("us", tz="UTC")
        case "date":
            return DataType.date32()


def _array(column: Column, values: list[Any]) -> Array:
    """arro3 builds times and dates from integers alone."""
    from arro3.core import Array, DataType

    match column.type:
        case "timestamp":
            return Array(_each(microseconds, values), DataType.int64()).cast(_data_type(column))
        case "date":
            return Array(_each(_day_number, values), DataType.int32()).cast(_data_type(column))
        case _:
            return Array(values, _data_type(column))


def _each(convert: Callable[[Any], int], values: list[Any]) -> list[int | None]:
    return [None if value is None else convert(value) for value in values]


def _day_number(day: date) -> int:
    return (day - _FIRST_DAY).days
