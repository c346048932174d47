"""The fields of the configuration as a page of ``--help``."""

from __future__ import annotations

import textwrap
import types
import typing
from typing import Any

from keras_seq import config


def describe_fields() -> str:
    """Every field with its default and meaning, grouped by section, for ``--help``."""
    lines = ["fields (--section.field VALUE):"]
    section = None
    for name, info in config.fields().items():
        head = name.rpartition(".")[0]
        if head != section:
            section = head
            lines.append(f"\n  {head or 'top level'}:")
        text = f"{_type_name(info.annotation)} = {_default(info)}"
        if info.description:
            text += f"  {info.description}"
        lines += textwrap.wrap(
            text, 112, initial_indent=f"    --{name} ", subsequent_indent=" " * 10, break_on_hyphens=False
        )
    return "\n".join(lines)


def _type_name(annotation: Any) -> str:
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return "|".join(map(str, typing.get_args(annotation)))
    if origin is typing.Annotated:
        return _type_name(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return "|".join(_type_name(part) for part in typing.get_args(annotation) if part is not type(None))
    if origin is tuple:
        return f"[{_type_name(typing.get_args(annotation)[0])}, ...]"
    return getattr(annotation, "__name__", str(annotation))


def _default(info: Any) -> str:
    value = info.get_default(call_default_factory=True)
    if isinstance(value, tuple):
        return str(list(value))
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
