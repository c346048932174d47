"""What every section of the tree is made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from keras_seq.config import yaml_text

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0.0)]

TaskName = Literal["regression", "binary", "multiclass", "forecast"]


class ConfigSection(BaseModel):
    """A frozen branch of the tree; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _settle_words(cls, tree: object) -> object:
        """Unquoted words of YAML mean what the type of their field says."""
        if not isinstance(tree, dict):
            return yaml_text.meaning(tree)
        kinds = {name: info.annotation for name, info in cls.model_fields.items()}
        return {str(key): yaml_text.settle(value, kinds.get(key, Any)) for key, value in tree.items()}
