"""Folders and patterns: a file a unit, each read by its own format, one after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_seq.data.formats.members import TableFile, doubled_members, is_many, labels_file, list_members, listed
from keras_seq.data.formats.registry import TableFormat, known_formats, register
from keras_seq.data.formats.roles import with_roles
from keras_seq.data.reading.batches import column_names, column_roles, column_types, is_typed, raw_batches
from keras_seq.data.reading.reading import Reading, Shape
from keras_seq.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

FILE, FOLDER, PART = "file", "folder", "part"
SHOWN = 6


def _is_folder(path: Path) -> bool:
    """Whether no other format reads this folder or pattern."""
    return is_many(path) and not any(one.holds_file(path) for one in known_formats().values() if one.name != "folder")


@register(TableFormat("folder", "a folder of tables", holds=_is_folder, options=("shape",)))
def read_folder(path: Path, reading: Reading) -> Iterator[pa.RecordBatch]:
    """Rows of the files in natural order, with the unit that each is, its part and its sub-folder."""
    import pyarrow as pa

    shape = reading.shape or Shape(kind="folder", file=reading)
    members, passed = list_members(path, labels_file(path, shape))
    types, further = _types(members, shape.file)
    own = shape.unit if shape.unit in types else column_roles(members[0].path, shape.file).unit
    added = _added(members, own, types)
    remarks = [*_told(passed, "are no tables and passed over"), *further, *_doubled(members)]
    schema = _schema(types, added, own, members[0], shape.file, remarks)
    for member in members:
        told = {FILE: member.unit, FOLDER: member.folder or None, PART: member.part}
        for batch in raw_batches(member.path, shape.file, list(types)):
            columns = [_cast(batch.column(name), types[name], name, member.path) for name in types]
            if own:
                place = list(types).index(own)
                columns[place] = _prefixed(columns[place], member.unit)
            texts = [pa.repeat(pa.scalar(told[what], pa.string()), batch.num_rows) for what in added.values()]
            yield pa.RecordBatch.from_arrays([*texts, *columns], schema=schema)


def _added(members: Sequence[TableFile], own: str | None, types: Mapping[str, pa.DataType]) -> dict[str, str]:
    """Columns that are added, by name, and what they hold; a name that the files have themselves gets a ``_``."""
    several = len({member.folder for member in members}) > 1
    wanted = [*([] if own else [FILE]), *([FOLDER] if several else []), *([PART] if members[0].part else [])]
    return {f"{what}_" if what in types else what: what for what in wanted}


def _schema(
    types: Mapping[str, pa.DataType],
    added: Mapping[str, str],
    own: str | None,
    first: TableFile,
    file: Reading,
    remarks: list[str],
) -> pa.Schema:
    """Schema of all files: what the first one says of its columns, and what the folder adds."""
    import pyarrow as pa

    names = {what: name for name, what in added.items()}
    roles = column_roles(first.path, file)
    change: dict[str, object] = {"unit": own or names[FILE], "remarks": (*roles.remarks, *remarks)}
    change["aside"] = (*roles.aside, *(names[what] for what in (FOLDER, PART) if what in names))
    if PART in names:
        change["part"] = names[PART]
    if FOLDER in names and not roles.targets and not own:
        change |= {"targets": (names[FOLDER],), "target_per": "unit"}
    fields = [(name, pa.string()) for name in added] + list(types.items())
    return with_roles(pa.schema(fields), roles.model_copy(update=change))


def _types(members: Sequence[TableFile], file: Reading) -> tuple[dict[str, pa.DataType], list[str]]:
    """Types of the first file's columns, wide enough for all files; a remark on columns that only others have.

    Raises:
        DataError: a file lacks a column of the first, or holds another kind of values in it.
    """
    import pyarrow as pa

    known: dict[str, pa.DataType] = {}
    further: dict[str, None] = {}
    for member in members:
        own = _own_types(member.path, file)
        if not known:
            known = own
        lost = next((name for name in known if name not in own), None)
        if lost is not None:
            raise DataError(
                f"File '{member.path}' has no column '{listed([lost])}', which '{members[0].path.name}' has; it has "
                f"{listed(list(own))}. All files of a folder need the same columns: mend or move "
                "it, name the files by a pattern (data.path 'runs/*.csv'), or, where it holds labels by unit, say so "
                "(data.labels)."
            )
        further |= {name: None for name in own if name not in known}
        for name, kind in known.items():
            if own[name] != kind:
                known[name] = _common(kind, own[name], name, member.path)
    types = {name: pa.string() if pa.types.is_null(kind) else kind for name, kind in known.items()}
    return types, _told(list(further), "stand in some files only and are left out", "columns")


def _own_types(path: Path, file: Reading) -> dict[str, pa.DataType]:
    import pyarrow as pa

    names = column_names(path, file)
    return column_types(path, file) if is_typed(path, file) else dict.fromkeys(names, pa.string())


def _common(one: pa.DataType, other: pa.DataType, name: str, path: Path) -> pa.DataType:
    import pyarrow as pa

    if pa.types.is_string(one) or pa.types.is_string(other):
        return pa.string()
    try:
        schemas = [pa.schema([(name, kind)]) for kind in (one, other)]
        return pa.unify_schemas(schemas, promote_options="permissive").field(name).type
    except pa.ArrowException:
        raise DataError(f"Column '{name}' of '{path}' is {other}, in the files before {one}; write it alike.") from None


def _cast(column: pa.Array, kind: pa.DataType, name: str, path: Path) -> pa.Array:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        return column if column.type == kind else column.cast(kind)
    except pa.ArrowException as error:
        raise DataError(f"Column '{name}' of '{path}' cannot be read as {kind}: {str(error)[:120]}.") from None


def _prefixed(column: pa.Array, unit: str) -> pa.Array:
    """Ids of a file's own units behind the file's name; null stays null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(pa.scalar(unit), column.cast(pa.string()), "/")


def _doubled(members: Sequence[TableFile]) -> list[str]:
    return [
        f"holds the same content {len(units)} times: {', '.join(units[:SHOWN])}" for units in doubled_members(members)
    ]


def _told(names: Sequence[str], what: str, kind: str = "files") -> list[str]:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return [f"holds {kind} that {what}: {', '.join(names[:SHOWN])}{more}"] if names else []
