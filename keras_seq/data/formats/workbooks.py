"""Workbooks of Excel and OpenDocument by calamine: the sheet with most cells, or those that ``data.sheet`` names."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from keras_seq.data.formats.cells import arrow_type, column_kind, is_empty, record_batch
from keras_seq.data.formats.registry import TableFormat, first_bytes, register
from keras_seq.data.formats.roles import Roles, with_roles
from keras_seq.data.formats.sheet_table import find_table
from keras_seq.data.formats.zipped import check_zip, zip_names
from keras_seq.data.reading.reading import Reading
from keras_seq.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

SHEET = "sheet"  # column of the sheets' names, where several are joined
BATCH = 8192  # rows turned into columns together
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def _is_workbook(path: Path) -> bool:
    return first_bytes(path).startswith(OLE) or any(
        name.startswith("xl/workbook") or name == "content.xml" for name in zip_names(path)
    )


@register(
    TableFormat(
        "workbook",
        "a workbook",
        (".xlsx", ".xls", ".xlsb", ".xlsm", ".ods"),
        holds=_is_workbook,
        extra=("excel", "python_calamine"),
        options=("sheet", "header_row", "skip_footer"),
        apart=True,
    )
)
def read_workbook(path: Path, reading: Reading) -> Iterator[pa.RecordBatch]:
    """Rows of one sheet; of several of equal columns, one after another with their names as units."""
    import pyarrow as pa
    from python_calamine import CalamineWorkbook

    check_zip(path)
    book = CalamineWorkbook.from_path(path)
    names, remarks = _sheets(path, book, reading.sheet)
    sheets = [book.get_sheet_by_name(name) for name in names]
    tables = [
        find_table(_above_footer(sheet, reading.skip_footer), reading.header_row, f"Sheet '{name}' of '{path}'")
        for name, sheet in zip(names, sheets, strict=True)
    ]
    first = tables[0]
    other = next((i for i, table in enumerate(tables) if table.names != first.names), None)
    if other is not None:
        raise DataError(
            f"File '{path}' has the columns {', '.join(first.names)} in sheet '{names[0]}', but "
            f"{', '.join(tables[other].names)} in '{names[other]}'; sheets that are joined must have the same."
        )
    kinds = [column_kind(set(own) - {"empty"}) for own in zip(*(table.kinds for table in tables), strict=True)]
    label = [SHEET] if _is_pattern(reading.sheet) and SHEET not in first.names else []
    fields = [(SHEET, pa.string()) for _ in label]
    fields += [(name, arrow_type(kind)) for name, kind in zip(first.names, kinds, strict=True)]
    roles = Roles(unit=SHEET if label else None, remarks=(*remarks, *first.remarks))
    schema = with_roles(pa.schema(fields), roles)
    for name, sheet, table in zip(names, sheets, tables, strict=True):
        rows = (
            [*(name for _ in label), *(row[i] for i in table.columns)]
            for number, row in enumerate(_above_footer(sheet, reading.skip_footer)())
            if number >= table.first and number not in table.notes
        )
        filled = (row for row in rows if not all(map(is_empty, row[len(label) :])))
        while block := list(itertools.islice(filled, BATCH)):
            yield record_batch(block, [*("text" for _ in label), *kinds], schema)


def _above_footer(sheet: Any, footer: int) -> Callable[[], Iterator[Any]]:
    """A function that goes through a sheet's rows without the last ``footer`` filled ones and what is below them."""
    if not footer:
        return cast(Callable[[], Iterator[Any]], sheet.iter_rows)
    filled = [number for number, row in enumerate(sheet.iter_rows()) if not all(map(is_empty, row))]
    end = filled[-footer] if len(filled) >= footer else 0
    return lambda: itertools.islice(sheet.iter_rows(), end)


def _is_pattern(sheet: str | None) -> bool:
    return sheet is not None and ("*" in sheet or "?" in sheet)


def _sheets(path: Path, book: Any, asked: str | None) -> tuple[list[str], tuple[str, ...]]:
    """Names of the sheets to read, and a remark where that was a choice."""
    from python_calamine import SheetTypeEnum, SheetVisibleEnum

    usual = [sheet for sheet in book.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
    names = [sheet.name for sheet in usual]
    listed = ", ".join(f"'{name}'" for name in names)
    if asked is None:
        shown = [sheet.name for sheet in usual if sheet.visible == SheetVisibleEnum.Visible] or names
        if not shown:
            raise DataError(f"Workbook '{path}' has no sheet of cells.")
        sizes = {name: (own := book.get_sheet_by_name(name)).height * own.width for name in shown if len(shown) > 1}
        best = max(shown, key=lambda name: sizes.get(name, 0))
        return [best], (f"is read from sheet '{best}' of {listed} (data.sheet)",) if len(names) > 1 else ()
    found = [name for name in names if name == asked]
    if not found and asked.isdecimal() and 1 <= int(asked) <= len(names):
        found = [names[int(asked) - 1]]
    if not found and _is_pattern(asked):
        found = [name for name in names if fnmatch.fnmatchcase(name, asked)]
    if not found:
        raise DataError(f"Workbook '{path}' has no sheet '{asked}' (data.sheet); its sheets: {listed}.")
    return found, ()
