"""``Roles``: what a file itself says of its columns (cases and labels of a .ts file); kept in the schema's metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from keras_seq.config.base import ConfigSection, TaskName

if TYPE_CHECKING:
    import pyarrow as pa

KEY = b"keras_seq.roles"


class Roles(ConfigSection):
    """Parts that a file gives to its columns; None where it does not say."""

    unit: str | None = None
    time: str | None = None
    part: str | None = None  # column of train, validation, test
    targets: tuple[str, ...] = ()
    target_per: Literal["step", "unit"] = "step"
    task: TaskName | None = None
    classes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()  # of how the file was read, behind "the file"
    horizon: int | None = None  # steps that the data are meant to be forecast
    labels: tuple[str, ...] = ()  # columns that hold one value for each unit
    aside: tuple[str, ...] = ()  # columns that are no inputs unless they are asked for


def with_roles(schema: pa.Schema, roles: Roles) -> pa.Schema:
    """An Arrow schema that tells the parts of its columns."""
    return schema.with_metadata({**(schema.metadata or {}), KEY: roles.model_dump_json().encode()})


def roles_of(schema: pa.Schema) -> Roles:
    """The parts that an Arrow schema tells; none of them where it tells nothing."""
    text = (schema.metadata or {}).get(KEY)
    return Roles.model_validate_json(text) if text else Roles()
