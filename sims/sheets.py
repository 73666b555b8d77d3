"""Sheets that people keep: CSV as spreadsheets write it, and XLSX, as rows of cells.

Nothing is guessed: the encoding of a CSV and the sheet of a workbook are declared in the map.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import ConfigurationError, Problem

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class SheetForm:
    """How a sheet is written.

    Attributes:
        sheet: Name of the sheet of a workbook; empty for a CSV.
        encoding: Of a CSV; UTF-8 with or without a byte-order mark, or CP949.
        header_row: Number of the row with the names of the columns, from 1.
    """

    sheet: str = ""
    encoding: str = "utf-8"
    delimiter: str = ","
    header_row: int = 1


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One row below the header.

    Attributes:
        number: As the spreadsheet shows it, from 1.
        cells: Column name -> cell; text in a CSV, what the cell holds in a workbook; None where it
            is empty.
    """

    number: int
    cells: dict[str, Any]


def read_sheet(path: Path, form: SheetForm, wanted: Iterable[str]) -> list[SheetRow]:
    """The rows of a sheet that hold anything in the wanted columns.

    Raises:
        ConfigurationError: The file cannot be read as declared, or lacks a column or has it twice.
    """
    rows = _workbook(path, form) if _is_workbook(path) else _csv(path, form)
    numbered = list(rows)
    if len(numbered) < form.header_row:
        raise _problem(path, "", f"has no row {form.header_row}", "correct header_row of the map")
    header = ["" if cell is None else str(cell).strip() for cell in numbered[form.header_row - 1]]
    place = {}
    problems = []
    for name in wanted:
        if header.count(name) == 1:
            place[name] = header.index(name)
            continue
        what = "stands twice in the header" if name in header else "is not in the header"
        known = ", ".join(cell for cell in header if cell)
        problems.append(Problem(str(path), name, f"the column {what}", f"it has {known}"))
    if problems:
        raise ConfigurationError(problems)
    found = []
    for number, row in enumerate(numbered[form.header_row :], start=form.header_row + 1):
        cells = {name: _cell(row, at) for name, at in place.items()}
        if any(cell is not None for cell in cells.values()):
            found.append(SheetRow(number, cells))
    return found


def _is_workbook(path: Path) -> bool:
    return path.suffix.lower() in {".xlsx", ".xlsm"}


def _cell(row: list[Any], at: int) -> Any:
    cell = row[at] if at < len(row) else None
    if isinstance(cell, str):
        cell = cell.strip()
    return None if cell == "" else cell


def _csv(path: Path, form: SheetForm) -> Iterator[list[Any]]:
    if form.sheet:
        raise _problem(path, "file.sheet", "a CSV has no sheets", "remove it, or name a workbook")
    try:
        body = path.read_bytes()
    except OSError as error:
        raise _problem(path, "", f"cannot be read: {error.strerror}", "a readable file") from None
    if body.startswith(_BOM) and form.encoding != "utf-8":
        hint = "remove encoding from the map"
        raise _problem(path, "file.encoding", f"is UTF-8, not {form.encoding}", hint)
    try:
        text = body.removeprefix(_BOM).decode(form.encoding)
    except UnicodeDecodeError:
        other = 'encoding = "cp949"' if form.encoding == "utf-8" else "another encoding"
        hint = f"declare {other} in [file] of the map, or save it as CSV UTF-8"
        raise _problem(path, "file.encoding", f"is not {form.encoding}", hint) from None
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=form.delimiter, strict=True)
    except csv.Error as error:
        raise _problem(path, "", f"is no CSV: {error}", "save it as CSV once more") from None


def _workbook(path: Path, form: SheetForm) -> Iterator[list[Any]]:
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    if not form.sheet:
        hint = 'sheet = "…" in [file] of the map'
        raise _problem(path, "file.sheet", "a workbook has sheets: which one?", hint)
    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, InvalidFileException) as error:
        raise _problem(path, "", f"is no workbook: {error}", "an .xlsx file") from None
    try:
        if form.sheet not in book.sheetnames:
            hint = f"it has {', '.join(book.sheetnames)}"
            raise _problem(path, "file.sheet", f"has no sheet {form.sheet!r}", hint)
        yield from (list(row) for row in book[form.sheet].iter_rows(values_only=True))
    finally:
        book.close()


def _problem(path: Path, key: str, problem: str, hint: str) -> ConfigurationError:
    return ConfigurationError([Problem(str(path), key, problem, hint)])
