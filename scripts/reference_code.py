"""Reference pages of packages: signatures and docstrings, read without importing anything."""

from __future__ import annotations

import logging
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import griffe

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("keras_seq", "tuning", "serving")
SERVING = ("client", "monitor", "retrain", "rollout")  # what is used from Python; the rest is the server's inside
WIDTH = 100

TITLES = {"parameters": "Takes", "attributes": "Attributes", "returns": "Gives", "yields": "Yields", "raises": "Raises"}


def load() -> dict[str, Any]:
    """Our packages as griffe reads them."""
    logging.getLogger("griffe").setLevel(logging.ERROR)
    extensions = griffe.load_extensions("dataclasses")
    loader = griffe.GriffeLoader(search_paths=[str(ROOT)], docstring_parser="google", extensions=extensions)
    return {name: loader.load(name) for name in PACKAGES}


def pages(loaded: dict[str, Any]) -> dict[str, str]:
    """Text of every page by its name without ``.md``: one a package, and one for the root modules of keras_seq."""
    keras_seq, serving = loaded["keras_seq"], loaded["serving"]
    packages = [*_packages(keras_seq), loaded["tuning"], *(serving.members[name] for name in SERVING)]
    texts = {"keras_seq": _page(keras_seq, [keras_seq, *_plain_modules(keras_seq)])}
    texts |= {package.path: _page(package, walk(package)) for package in packages}
    return {name: text for name, text in texts.items() if "\n### " in text}


def _modules(module: Any) -> Iterator[Any]:
    for name, member in sorted(module.members.items()):
        if not member.is_alias and member.is_module and not name.startswith("_"):
            yield member


def _packages(module: Any) -> list[Any]:
    return [member for member in _modules(module) if member.is_package or member.is_subpackage]


def _plain_modules(module: Any) -> list[Any]:
    return [member for member in _modules(module) if not (member.is_package or member.is_subpackage)]


def walk(module: Any) -> Iterator[Any]:
    yield module
    for member in _modules(module):
        yield from walk(member)


def public(module: Any) -> list[Any]:
    """Functions and classes of a module that others may use, in the order of the source."""
    return [
        member
        for name, member in module.members.items()
        if not (member.is_alias or name.startswith("_") or name == "main") and (member.is_function or member.is_class)
    ]


def _page(package: Any, modules: Iterable[Any]) -> str:
    parts = [f"# {package.path}\n"]
    for module in modules:
        names = public(module)
        again = _again(module)
        if module is not package:
            if not names and not again:
                continue
            parts.append(f"## {module.path}\n")
        if module.docstring:
            parts.append(_text(module.docstring.value))
        if again:
            parts.append("Names to import from here: " + ", ".join(f"`{name}`" for name in again) + ".\n")
        parts += [_object(member) for member in names]
    return "\n".join(parts).rstrip("\n") + "\n"


def _again(module: Any) -> list[str]:
    """What a package passes on from its modules."""
    exported = module.members.get("__all__")
    if exported is None or not (module.is_package or module.is_subpackage):
        return []
    return sorted({str(name).strip("'\"") for name in module.exports or []} - {"__version__"})


def _object(member: Any, level: int = 3) -> str:
    parts = [f"{'#' * level} {member.name if level == 3 else f'{member.parent.name}.{member.name}'}\n"]
    parts.append(f"```python\n{signature(member)}\n```\n")
    if member.docstring:
        parts.append(_docstring(member.docstring))
    if member.is_class:
        for name, below in member.members.items():
            if below.is_alias or name.startswith("_"):
                continue
            if below.is_function or (below.is_attribute and "property" in below.labels):
                parts.append(_object(below, 4))
    return "\n".join(parts)


def signature(member: Any) -> str:
    """As the source has it, without the body; one parameter a line where a line is too short."""
    if member.is_attribute:
        return f"{member.name}: {member.annotation}"
    kind, bases, after = "def", "", ""
    if member.is_class:
        kind = "class"
        bases = ", ".join(str(base) for base in member.bases)
        if any(
            base in ("ConfigSection", "BaseModel", "NamedTuple", "Protocol", "Enum", "TypedDict")
            for base in bases.split(", ")
        ):
            return f"class {member.name}({bases})"
    elif member.returns is not None:
        after = f" -> {member.returns}"
    parameters = list(_parameters(member.parameters))
    head = f"{kind} {member.name}"
    line = f"{head}({', '.join(parameters)}){after}"
    if len(line) > WIDTH:
        line = f"{head}(\n" + "".join(f"    {parameter},\n" for parameter in parameters) + f"){after}"
    return line + (f"  # is a {bases}" if bases and member.is_class else "")


def _parameters(parameters: Any) -> Iterator[str]:
    keyword_only = False
    for one in parameters:
        if one.name in ("self", "cls"):
            continue
        kind = one.kind.value if one.kind else ""
        if kind == "keyword-only" and not keyword_only:
            keyword_only = True
            yield "*"
        star = {"variadic positional": "*", "variadic keyword": "**"}.get(kind, "")
        keyword_only = keyword_only or star == "*"
        text = f"{star}{one.name}" + (f": {one.annotation}" if one.annotation is not None else "")
        if one.default is not None and not star:
            text += f" = {one.default}" if one.annotation is not None else f"={one.default}"
        yield text


def _docstring(docstring: Any) -> str:
    parts = []
    for section in docstring.parse("google", warnings=False):
        kind = section.kind.value
        if kind == "text":
            parts.append(_text(section.value))
        elif kind in TITLES:
            parts.append(f"{TITLES[kind]}:\n\n" + "".join(_item(kind, one) for one in section.value))
        elif kind == "admonition":
            parts.append(f"{section.title or section.value.kind}:\n\n{_text(section.value.description)}")
        elif kind == "examples":
            parts.append("\n".join(str(text) for _, text in section.value) + "\n")
    return "\n".join(parts)


def _item(kind: str, one: Any) -> str:
    text = " ".join((one.description or "").split())
    if kind in ("returns", "yields"):
        return f"- {text}\n"
    name = str(one.annotation) if kind == "raises" else one.name
    return f"- `{name}`: {text}\n"


def _text(text: str) -> str:
    """A docstring's prose: a lone ``::`` before an indented block is not shown."""
    text = textwrap.dedent(text).strip("\n")
    text = re.sub(r"^::\n", "", re.sub(r"(\S)::$", r"\1:", text, flags=re.M), flags=re.M)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"
