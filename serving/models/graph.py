"""Signatures of a ``saved_model.pb``, read without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.contract import protos
from serving.contract.protos import Message
from serving.contract.signatures import Signature
from serving.contract.status import Code, Refused


@dataclass(frozen=True)
class Described:
    """The signatures of a version.

    Attributes:
        signatures: by name.
        metadata: text of the ``signature_def`` map as the REST API prints it.
        signature_protos: serialized ``SignatureDefMap``.
    """

    signatures: Mapping[str, Signature]
    metadata: str
    signature_protos: bytes


def describe(folder: Path, tags: Sequence[str]) -> Described:
    """The signatures of the graph with exactly these tags.

    Raises:
        Refused: no SavedModel, an unreadable one, or none with these tags; texts of TensorFlow's loader.
    """
    return described(read_graph(folder, tags))


def read_graph(folder: Path, tags: Sequence[str]) -> Any:
    """The ``MetaGraphDef`` with exactly these tags. Raises ``Refused`` as ``describe`` does."""
    path = folder / "saved_model.pb"
    try:
        content = path.read_bytes()
    except OSError:
        raise Refused(
            Code.NOT_FOUND,
            f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {folder}. Check that the "
            "directory exists and that you have the right permissions for accessing it.",
        ) from None
    model = protos.protobuf("saved_model").SavedModel()
    try:
        model.ParseFromString(content)
    except Exception:  # DecodeError of whichever protobuf runtime is in use
        raise Refused(Code.DATA_LOSS, f"Can't parse {path} as binary proto") from None
    for graph in model.meta_graphs:
        if set(graph.meta_info_def.tags) == set(tags):
            return graph
    raise Refused(
        Code.NOT_FOUND,
        f"Could not find meta graph def matching supplied tags: {{ {' '.join(sorted(tags))} }}. To inspect available "
        "tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`",
    )


def described(graph: Message) -> Described:
    """The signatures of a ``MetaGraphDef``."""
    from serving.contract import metadata

    map_proto = metadata.signature_map(graph)
    return Described(
        signatures=metadata.signatures_of(graph),
        metadata=metadata.signature_json(map_proto),
        signature_protos=map_proto.SerializeToString(),
    )
