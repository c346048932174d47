"""A file read by the schema of trained data: nothing is guessed, what differs from the schema is refused by name."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.reading import faults
from keras_seq.data.reading.batches import check_file, column_names, column_types, is_typed, read_batches
from keras_seq.data.reading.dates import ISO, DateRule, parse_dates
from keras_seq.data.reading.labels import own_text
from keras_seq.data.reading.named_dates import is_epoch, is_named, write_named
from keras_seq.data.reading.reading import Kind, Reading
from keras_seq.data.reading.shapes import shape_of_files
from keras_seq.data.reading.zones import to_local, zone_info
from keras_seq.data.static import StaticValues, lacking_static
from keras_seq.data.unseen_words import UnseenWords
from keras_seq.data.words import code_column
from keras_seq.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from keras_seq.data.series import Schema


def read_by_schema(
    path: Path, schema: Schema, *, also: Collection[str] = (), time_kind: str | None = None
) -> pd.DataFrame:
    """The columns of a file that a schema names, as training reads them; columns it does not name are passed over.

    Args:
        path: table file, of the kind of the table that the schema was made from.
        schema: of the trained data; without a ``reading`` the file is understood anew, as when a table is new.
        also: targets to be read too; labels stay text.
        time_kind: "date" or "clock"; None: as the schema's reading has dates or not.

    Returns:
        One row a file row, in file order. Features float64, NaN where missing; units, groups and labels their own
        text, None where empty; words as their codes; the time ``datetime64[ns]`` (universal time where there is a
        zone, NaT where missing) or float64. Columns that the file lacks are lacking; ``attrs["reading"]`` is the
        reading used, ``attrs["remarks"]`` says which words the schema does not know.

    Raises:
        DataError: the file is missing or malformed, or a value is not what the schema says; names row and column.
    """
    import pandas as pd
    import pyarrow.compute as pc

    check_file(path)
    reading = shape_of_files(path, schema.reading or _understood(path, schema), schema.unit_column)
    names = set(column_names(path, reading))
    wanted = _kinds(path, schema, reading, also, time_kind)
    kinds = {name: kind for name, kind in wanted.items() if name in names}
    if not kinds:
        raise DataError(faults.no_column(path, next(iter(wanted)), sorted(names), reading))
    rule = DateRule(reading.date_format or ISO, reading.zone, reading.offsets)
    parts: dict[str, list[Any]] = {name: [] for name in kinds}
    rows = 0
    unseen = UnseenWords({name: words for name, words in schema.vocabularies.items() if name in kinds})
    for batch in read_batches(path, kinds, reading):
        for i, (name, kind) in enumerate(kinds.items()):
            if name in schema.vocabularies:
                pairs = pc.value_counts(batch.column(i))
                unseen.add(name, zip(pairs.field(0).to_pylist(), pairs.field(1).to_pylist(), strict=True))
            parts[name].append(_column(batch.column(i), name, kind, schema, rule, path, rows))
        rows += batch.num_rows
    frame = pd.DataFrame({name: np.concatenate(pieces) for name, pieces in parts.items()})
    if schema.unit_column in names and lacking_static(schema, names):
        frame = frame.assign(**StaticValues(schema).columns(frame[schema.unit_column].to_numpy(object)))
    frame.attrs |= {"reading": reading, "remarks": unseen.remarks()}
    return frame


def format_stamps(time: NDArray[np.datetime64], reading: Reading) -> NDArray[np.object_]:
    """Stamps as the table writes them: its format and its zone; "" where there is none.

    Args:
        time: ``(rows,)`` as ``read_by_schema`` and ``Series.time`` have it.
        reading: of the table.
    """
    import pandas as pd

    if reading.offsets:
        stamps = pd.DatetimeIndex(time).tz_localize("UTC").tz_convert(zone_info(reading.zone or "UTC"))
        texts = [stamp.isoformat().replace("+00:00", "Z") if stamp is not pd.NaT else "" for stamp in stamps]
        return np.array(texts, object)
    if is_epoch(reading.date_format):
        return np.asarray(write_named(pd.DatetimeIndex(time), str(reading.date_format)).fillna(""), object)
    stamps = pd.DatetimeIndex(to_local(time, reading.zone))
    written = reading.stamp_format or (reading.date_format if reading.date_format != ISO else None)
    if not written:
        written = "%Y-%m-%d" if (stamps == stamps.normalize()).all() else "%Y-%m-%d %H:%M:%S"
    shown: Any = write_named(stamps, written) if is_named(written) else stamps.strftime(written)
    return np.asarray(shown.fillna(""), object)


def _kinds(
    path: Path, schema: Schema, reading: Reading, also: Collection[str], time_kind: str | None
) -> dict[str, Kind]:
    labels = schema.classifies
    kinds: dict[str, Kind] = {name: "flag" if name in reading.flags else "number" for name in schema.features}
    for name in also:
        kinds[name] = "text" if labels else "flag" if name in reading.flags else "number"
    kinds |= dict.fromkeys(schema.vocabularies, "text")
    for role in (schema.unit_column, schema.group_column):
        if role:
            kinds.setdefault(role, "text")
    if schema.time_column:
        dated = time_kind == "date" if time_kind else reading.date_format is not None
        kinds[schema.time_column] = "date" if dated else "clock"
    if is_typed(path, reading):
        import pyarrow as pa

        types = column_types(path, reading)
        numeric = {name for name, kind in types.items() if pa.types.is_integer(kind) or pa.types.is_floating(kind)}
        kinds = {name: "number" if kind == "flag" and name in numeric else kind for name, kind in kinds.items()}
    return kinds


def _column(
    column: pa.Array, name: str, kind: Kind, schema: Schema, rule: DateRule, path: Path, before: int
) -> NDArray[Any]:
    if name in schema.vocabularies:
        return code_column(column, schema.vocabularies[name])
    if kind == "text":
        texts = column.to_pandas().astype(object)
        return (texts.map(own_text, na_action="ignore") if name in schema.targets else texts).to_numpy(object)
    if kind == "date":
        return parse_dates(column, rule, name, path, before)
    if kind == "flag":
        import pyarrow as pa

        column = column.cast(pa.float64())
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _understood(path: Path, schema: Schema) -> Reading:
    """The reading of a file whose schema has none: an older bundle's, or a source's of the project."""
    from keras_seq.config import DataConfig
    from keras_seq.data.reading.settle import holds_dates, settle_table, settle_time

    config = DataConfig(source="table", path=str(path))
    facts = settle_table(path, config)
    if schema.time_column not in facts.kinds or not holds_dates(schema.time_column, facts, config):
        return facts.reading
    dates = settle_time(schema.time_column, facts, config)
    return facts.reading.model_copy(update=dates.fields)
