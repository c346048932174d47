"""YAML of users: bounded when read, unquoted words kept as they stand until the field's type tells what they mean.

YAML reads ``No``, ``off``, ``1e5``, ``007``, ``1:30`` and ``2024-01-01`` as truth values, numbers and dates. A column,
a file or a class may be called so. ``read`` therefore leaves unquoted scalars as ``Plain`` text, and ``settle`` gives
them the meaning that the type of their field asks for: text fields get the text, all others what YAML says.
"""

from __future__ import annotations

import functools
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

Hint = Any  # the type of a field: a class, a union, Literal, Annotated ...
MAX_BYTES = 4 * 2**20  # of a file
MAX_NODES = 100_000  # values and keys of a document, each alias counted as what it stands for
MAX_DEPTH = 50  # sections within sections
MAX_NUMBER = 200  # characters of what may be a number
_NULLS = ("", "~", "null", "Null", "NULL")
_PLAIN_TAG = "plain"
_YAML_TAG = "tag:yaml.org,2002:"
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")  # YAML 1.1 wants a point and a sign
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNPRINTABLE = re.compile("[^\t -~\\u00a0-\\u2027\\u202a-\\ud7ff\\ue000-\\ufefe\\uff00-\\ufffd\\U00010000-\\U0010ffff]")


class NotYaml(ValueError):
    """A text that is no YAML, or larger or deeper than anybody writes."""


class Plain(str):
    """An unquoted scalar as it stands in the text."""

    __slots__ = ()


class _YamlReader(yaml.SafeLoader):
    """PyYAML's safe loader, bounded; unquoted scalars become ``Plain``."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.open = [0]  # nodes below each node that is not whole yet
        self.sizes: dict[int, int] = {}  # nodes of each whole one

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        """Tag of a node without one."""
        if kind is yaml.ScalarNode and implicit[0]:
            return _PLAIN_TAG
        return super().resolve(kind, value, implicit)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping whose keys differ."""
        node: Any = super().compose_mapping_node(anchor)
        _refuse_doubled(node)
        return node

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node:
        """A node and all below it, counted."""
        alias = self.check_event(yaml.AliasEvent)
        if len(self.open) > MAX_DEPTH:
            raise NotYaml(f"it is nested deeper than {MAX_DEPTH} levels")
        self.open.append(1)
        node: Any = super().compose_node(parent, index)
        size = self.open.pop()
        if node.tag == _PLAIN_TAG and node.value == "<<" and index is None and isinstance(parent, yaml.MappingNode):
            node.tag = _YAML_TAG + "merge"
        if alias and id(node) not in self.sizes:
            raise NotYaml("an alias stands within what it stands for")
        size = self.sizes[id(node)] if alias else size
        self.sizes[id(node)] = size
        self.open[-1] += size
        if self.open[-1] > MAX_NODES:
            raise NotYaml(f"it holds more than {MAX_NODES} values, counting each alias as what it stands for")
        return node


def _refuse_doubled(node: yaml.MappingNode) -> None:
    """Refuse a mapping that has a key twice: YAML itself would take the last one."""
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == _YAML_TAG + "merge":
            continue
        line = key.start_mark.line + 1
        if key.value in lines:
            where = f"in line {lines[key.value]} and in line {line}" if line > lines[key.value] else f"in line {line}"
            raise NotYaml(f"key '{key.value}' stands twice, {where}; keep one of them")
        lines[key.value] = line


def _only(*names: str) -> dict[Any, Any]:
    """Constructors of these tags; ``None`` stands for all others, which are refused."""
    safe: dict[Any, Any] = yaml.SafeLoader.yaml_constructors
    return {tag: safe[tag] for tag in (None, *(_YAML_TAG + name for name in names))}


_YamlReader.yaml_constructors = _only("null", "bool", "int", "float", "seq", "map", "str")
_YamlReader.add_constructor(_PLAIN_TAG, lambda loader, node: Plain(node.value))


def read(text: str) -> Any:
    """Values of a YAML document (JSON is one); unquoted scalars are ``Plain``.

    Raises:
        NotYaml: why it cannot be read, in one line.
    """
    try:
        return _YamlReader(text).get_single_data()
    except NotYaml:
        raise
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise NotYaml(" ".join(str(error).split())[:300]) from None


def read_file(path: Path, largest: int = MAX_BYTES) -> Any:
    """The same of a file of at most ``largest`` bytes.

    Raises:
        NotYaml: why it cannot be read as YAML. OSError: it cannot be read at all.
    """
    with path.open("rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise NotYaml(f"it is larger than {largest // 2**20} MiB")
    try:
        return read(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise NotYaml(f"it is no UTF-8 text ({error.reason} at byte {error.start})") from None


def meaning(value: object) -> Any:
    """``value`` with every ``Plain`` read as YAML 1.1 does, dates apart, which stay text; ``1e5`` is a number."""
    if isinstance(value, Plain):
        return _meaning(str(value))
    if isinstance(value, dict):
        return {meaning(key): meaning(item) for key, item in value.items()}
    return [meaning(item) for item in value] if isinstance(value, list) else value


def settle(value: object, annotation: Hint) -> Any:
    """``value`` with every ``Plain`` in it read as a field of this type means it.

    Args:
        value: of ``read``.
        annotation: of the field; a section's own fields are left to it.
    """
    if typing.get_origin(annotation) is typing.Annotated:
        return settle(value, typing.get_args(annotation)[0])
    arms = _arms(annotation)
    if isinstance(value, Plain):
        return _settle_scalar(value, arms)
    if isinstance(value, dict):
        return _settle_mapping(value, arms)
    if isinstance(value, list):
        return _settle_list(value, arms)
    return value


def settle_word(text: str, annotation: Hint) -> Any:
    """What a word of the command line means for a field: text fields get it as it stands, others read it as YAML.

    A text field takes ``null`` as none where it may be none; a word in quotes of YAML loses them (``'"null"'``). A list
    of texts takes ``[a, b]``, or one text.
    """
    arms = _arms(annotation)
    texts = _holds_texts(arms)
    try:
        value = read(text)
    except NotYaml:
        value = None if texts or takes_text(annotation) else text
    if type(value) is str and text[:1] in ("'", '"') and text[:1] == text[-1:]:
        return [value] if texts else value
    mappings = any(typing.get_origin(arm) in (dict, Mapping) for arm in arms)
    whole = (texts and isinstance(value, list)) or (mappings and isinstance(value, dict))  # of text or several: [a, b]
    if not whole and (takes_text(annotation) or texts):
        value = Plain(text)
    return settle(value, annotation)


def takes_text(annotation: Hint) -> bool:
    """Whether a field of this type holds text."""
    return any(map(_is_text, _arms(annotation)))


def quote(text: str) -> str:
    """``text`` as a YAML scalar on one line, which every YAML reader reads back as this text."""
    if _WORD.fullmatch(text) and meaning(Plain(text)) == text:
        return text
    return '"' + _UNPRINTABLE.sub(_escape, text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _escape(found: re.Match[str]) -> str:
    return {"\n": "\\n", "\r": "\\r"}.get(found[0], f"\\u{ord(found[0]):04x}")


def _settle_scalar(value: Plain, arms: Sequence[Hint]) -> Any:
    if not any(map(_is_text, arms)):
        return [str(value)] if value and _holds_texts(arms) else _meaning(str(value))
    words = {word for arm in arms if typing.get_origin(arm) is typing.Literal for word in typing.get_args(arm)}
    none = type(None) in arms or value == ""  # an empty value is no text
    if none and value in _NULLS and value not in words:
        return None
    others = tuple(arm for arm in arms if arm in (bool, int, float)) + tuple(
        type(word) for word in words if not isinstance(word, str)
    )
    read = _meaning(str(value)) if others else None
    return read if others and isinstance(read, others) else str(value)


def _settle_mapping(value: dict[Any, Any], arms: Sequence[Hint]) -> dict[Any, Any]:
    if any(hasattr(arm, "model_fields") for arm in arms):
        return value
    for arm in arms:
        if typing.get_origin(arm) in (dict, Mapping) and typing.get_args(arm):
            kind, item = typing.get_args(arm)
            return {settle(key, kind): settle(entry, item) for key, entry in value.items()}
    return typing.cast(dict[Any, Any], meaning(value))


def _settle_list(value: list[Any], arms: Sequence[Hint]) -> list[Any]:
    for arm in arms:
        kinds = typing.get_args(arm)
        if not kinds or typing.get_origin(arm) not in (tuple, list, set, frozenset, Sequence):
            continue
        if typing.get_origin(arm) is tuple and Ellipsis not in kinds:
            kinds += (Any,) * (len(value) - len(kinds))
            return [settle(item, kind) for item, kind in zip(value, kinds, strict=False)]
        return [settle(item, kinds[0]) for item in value]
    return typing.cast(list[Any], meaning(value))


def _arms(annotation: Hint) -> tuple[Hint, ...]:
    """The types of a union, or the one type."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _arms(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(arm for part in typing.get_args(annotation) for arm in _arms(part))
    return (annotation,)


def _holds_texts(arms: Sequence[Hint]) -> bool:
    """Whether a list of texts may stand here."""
    lists = [arm for arm in arms if typing.get_origin(arm) in (tuple, list)]
    return any(_is_text(kind) for arm in lists for item in typing.get_args(arm) for kind in _arms(item))


def _is_text(kind: Hint) -> bool:
    if typing.get_origin(kind) is typing.Literal:
        return any(isinstance(word, str) for word in typing.get_args(kind))
    return kind is str or kind is Path


@functools.lru_cache(maxsize=1)
def _yaml() -> tuple[Any, Any]:
    return yaml.resolver.Resolver(), yaml.constructor.SafeConstructor()


def _meaning(text: str) -> Any:
    """One unquoted scalar."""
    if len(text) > MAX_NUMBER:
        return text
    if _EXPONENT.fullmatch(text):
        return float(text)
    resolver, constructor = _yaml()
    name = resolver.resolve(yaml.ScalarNode, text, (True, False)).removeprefix(_YAML_TAG)
    if name not in ("null", "bool", "int", "float"):
        return text
    try:
        return getattr(constructor, f"construct_yaml_{name}")(yaml.ScalarNode(_YAML_TAG + name, text))
    except ValueError:  # 0_, 0b, ...
        return text
