"""Registry of table formats: each registers itself in a file of this package, or of another one.

A new format is one file with one decorated generator; nothing else need know of it::

    @register(TableFormat("feather", "a Feather file", suffixes=(".feather", ".arrow")))
    def read_feather(path: Path, reading: Reading) -> Iterator[pa.RecordBatch]:
        with pa.ipc.open_file(path) as file:
            yield from (file.get_batch(i) for i in range(file.num_record_batches))

What it yields is written once into a Parquet file in the cache (``converted``), and every reader takes that. The files
are imported when a format is asked for, so they import their libraries inside their functions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from keras_seq.data.plugins import load_plugins
from keras_seq.data.reading.reading import Reading
from keras_seq.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

ReadTable = Callable[[Path, Reading], "Iterator[pa.RecordBatch]"]
HEAD = 512  # bytes by which a format is known
PARQUET_MAGIC = b"PAR1"
PARQUET_SUFFIXES = (".parquet", ".pq")
PARQUET = "parquet"
CSV = "csv"


@dataclasses.dataclass(frozen=True)
class TableFormat:
    """A kind of table file, known without opening one.

    Attributes:
        name: one word, for messages and lists.
        what: the kind with its article, as a sentence has it: "an Excel workbook".
        suffixes: endings of file names, in small letters.
        magic: first bytes by which the kind is certain, whatever the file's name.
        holds: tells the kind from a file or folder where neither name nor first bytes do; None: they suffice.
        extra: optional dependencies of keras_seq that it needs, and the package: ("excel", "python_calamine").
        options: fields of ``Reading`` that it reads.
        apart: whether its library may break off over a damaged file; it then runs in a process of its own.
        read: yields record batches of one schema; set by ``register``. Numbers, booleans, timestamps and texts;
            it raises ``DataError``, or what its library raises.
    """

    name: str
    what: str
    suffixes: tuple[str, ...] = ()
    magic: tuple[bytes, ...] = ()
    holds: Callable[[Path], bool] | None = None
    extra: tuple[str, str] | None = None
    options: tuple[str, ...] = ()
    apart: bool = False
    read: ReadTable | None = None

    def holds_file(self, path: Path) -> bool:
        """Whether ``holds`` says so; not where the path cannot be read as it tries."""
        try:
            return self.holds is not None and self.holds(path)
        except OSError:
            return False

    def require(self, path: Path) -> None:
        """Refuse a file whose kind needs a package that is not installed.

        Raises:
            DataError: names the extra to install.
        """
        if self.extra and find_spec(self.extra[1]) is None:
            raise DataError(
                f"File '{path}' is {self.what}; reading it needs the package '{self.extra[1]}', which is not "
                f"installed: pip install 'keras-seq[{self.extra[0]}]'."
            )


_FORMATS: dict[str, TableFormat] = {}


def register(info: TableFormat) -> Callable[[ReadTable], ReadTable]:
    """Decorator: the generator reads tables of the format ``info``."""

    def keep(read: ReadTable) -> ReadTable:
        _FORMATS[info.name] = dataclasses.replace(info, read=read)
        return read

    return keep


@cache
def _load_own() -> None:
    """Import the files of this package and those of installed packages, so that they register."""
    package = __name__.rpartition(".")[0]
    for module in iter_modules(import_module(package).__path__):
        import_module(f"{package}.{module.name}")
    load_plugins("keras_seq.formats")


def known_formats() -> dict[str, TableFormat]:
    """Every format by name, CSV and Parquet apart."""
    _load_own()
    return dict(sorted(_FORMATS.items()))


def format_name(path: Path) -> str:
    """``csv``, ``parquet`` or a registered format of a file or folder, told by its first bytes, then by its name.

    A file whose name says nothing is text.
    """
    head = first_bytes(path)
    if head.startswith(PARQUET_MAGIC):
        return PARQUET
    suffix = path.suffix.lower()
    formats = known_formats().values()
    named = [one for one in formats if suffix in one.suffixes]
    for one in (*named, *formats):
        if head.startswith(one.magic) if one.magic else one in named and one.holds is None:
            return one.name
    for one in (*named, *formats):
        if one.holds_file(path):
            return one.name
    if named and named[0].holds is not None and head and b"\0" not in head:
        return CSV  # text under another name, as web pages offer it
    return PARQUET if suffix in PARQUET_SUFFIXES else named[0].name if named else CSV


def first_bytes(path: Path) -> bytes:
    """The bytes by which a file is known; none of a folder or of what cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""
