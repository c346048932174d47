"""ARFF files of Weka: attributes of the header, and the fields of data lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keras_seq.data.formats.lines import numbered_lines
from keras_seq.errors import DataError

NUMERIC = ("numeric", "real", "integer")
_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_ATTRIBUTE = re.compile(rf"(?i)@attribute\s+({_QUOTED}|[^\s{{]+)\s*(.+)$")
_FIELD = re.compile(rf"\s*({_QUOTED}|[^,]*?)\s*(?:,|$)")
_SPARSE = re.compile(rf"\s*(\d+)\s+({_QUOTED}|[^,]*?)\s*(?:,|$)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(frozen=True)
class Attribute:
    """An attribute: its name, kind (numeric, nominal, string, date or relational), its words, its own attributes."""

    name: str
    kind: str
    words: tuple[str, ...] = ()
    inner: tuple[Attribute, ...] = ()


def open_arff(path: Path) -> tuple[list[Attribute], Iterator[tuple[int, list[str]]]]:
    """Attributes of a file, and the number and fields of each data line; a missing value is "".

    Raises:
        DataError: the file is missing or malformed; names the line (of data: when it is reached).
    """
    lines = ((number, text) for number, text in numbered_lines(path) if not text.startswith("%"))
    attributes: list[Attribute] = []
    outer: list[tuple[str, list[Attribute]]] = []  # relational attributes that are open
    for number, text in lines:
        word = text.split()[0].lower()
        if word == "@data":
            if not attributes or outer:
                raise DataError(f"Line {number} of '{path}': @data comes before the attributes are declared.")
            return attributes, _rows(lines, attributes, path)
        if word == "@attribute" and (attribute := _attribute(text)):
            if attribute.kind == "relational":
                outer.append((attribute.name, attributes))
                attributes = []
            else:
                attributes.append(attribute)
        elif word == "@end" and outer:
            name, own = outer.pop()
            attributes = [*own, Attribute(name, "relational", inner=tuple(attributes))]
        elif word != "@relation":
            raise DataError(
                f"Line {number} of '{path}' must be '@attribute NAME TYPE', '@end NAME' or '@data', got {text[:60]!r}: "
                "not an ARFF file?"
            )
    raise DataError(f"File '{path}' has no @data line; expected ARFF format.")


def unquoted(text: str) -> str:
    """A text without its quotes and escapes; "" for ``?``."""
    if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]:
        return re.sub(r"\\(.)", lambda match: _ESCAPED.get(match[1], match[1]), text[1:-1])
    return "" if text == "?" else text


def fields_of(text: str) -> list[str] | None:
    """Fields of a line, quotes taken off; None where a quote is not closed."""
    if "'" not in text and '"' not in text:
        return ["" if (word := field.strip()) == "?" else word for field in text.split(",")]
    fields, place = [], 0
    while place <= len(text):
        match = _FIELD.match(text, place)
        if match is None or (match[1][:1] in ("'", '"') and len(match[1]) > 0 and not _closed(match[1])):
            return None
        fields.append(unquoted(match[1]))
        if not match[0].endswith(","):
            return fields if match.end() == len(text) else None
        place = match.end()
    return [*fields, ""]


def _closed(text: str) -> bool:
    return re.fullmatch(_QUOTED, text) is not None


def _attribute(text: str) -> Attribute | None:
    match = _ATTRIBUTE.match(text)
    if match is None:
        return None
    name, kind = unquoted(match[1]), match[2].strip()
    if kind.startswith("{"):
        words = fields_of(kind[1:].partition("}")[0] if "'" not in kind else kind[1 : kind.rfind("}")])
        return Attribute(name, "nominal", tuple(words)) if words and "}" in kind else None
    word = kind.split()[0].lower()
    if word in NUMERIC:
        return Attribute(name, "numeric")
    return Attribute(name, word) if word in ("string", "date", "relational") else None


def _rows(lines: Iterator[tuple[int, str]], attributes: list[Attribute], path: Path) -> Iterator[tuple[int, list[str]]]:
    count = 0
    for number, text in lines:
        where = f"Line {number} of '{path}'"
        fields = _sparse(text, attributes, where) if text.startswith("{") else fields_of(text)
        if fields is None:
            raise DataError(f"{where} has a quote that is not closed: {text[:60]!r}. Mend it.")
        if len(fields) == len(attributes) + 1 and re.fullmatch(r"\{[^{},]*\}", fields[-1]):
            fields.pop()  # the weight of the instance
        if len(fields) != len(attributes):
            raise DataError(
                f"{where} has {len(fields)} values, the header names {len(attributes)} attributes: {text[:60]!r}. Mend "
                "the line; a missing value is written '?'."
            )
        for attribute, field in zip(attributes, fields, strict=True):
            if attribute.kind == "nominal" and field and field not in attribute.words:
                raise DataError(
                    f"{where}: attribute '{attribute.name}' is {field[:40]!r}, but the header lets it be "
                    f"{', '.join(attribute.words[:8])}."
                )
        count += 1
        yield number, fields
    if not count:
        raise DataError(f"File '{path}' holds no rows after @data.")


def _sparse(text: str, attributes: list[Attribute], where: str) -> list[str] | None:
    """Fields of ``{index value, ...}``: those that are not named are 0, or the first word of a nominal attribute."""
    body, brace, _ = text[1:].rpartition("}")
    if not brace:
        return None
    fields = [attribute.words[0] if attribute.words else "0" for attribute in attributes]
    place = 0
    while place < len(body.rstrip()):
        match = _SPARSE.match(body, place)
        if match is None or int(match[1]) >= len(fields):
            raise DataError(
                f"{where}: {text[:60]!r} is no sparse row '{{index value, ...}}' of {len(fields)} attributes."
            )
        fields[int(match[1])] = unquoted(match[2])
        place = match.end()
    return fields
