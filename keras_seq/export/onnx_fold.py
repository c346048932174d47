"""Fewer operations for the same answers: what tf2onnx writes anew for every mask is written once.

A model of sequences of different length masks padding in each layer, and each mask is eight tiny operations on the
shape of that layer's tensor. In a small model that answers one window at a time they take as long as its convolutions.
Here sizes that are the same at run time are recognised as such (elementwise operations, and convolutions that pad to
the same size, keep the number of steps), so that equal masks become one; and a mask whose result is masked again by
the same mask is left out.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx
    from numpy.typing import ArrayLike

UNARY = ("Relu", "Tanh", "Sigmoid", "Elu", "LeakyRelu", "Softplus", "Identity")  # each number by itself
SAME = (*UNARY, "Cast", "Not", "Abs", "Neg", "Exp", "Erf", "Sqrt", "Reciprocal", "IsNaN", "IsInf", "Clip")
BROADCAST = ("Add", "Sub", "Mul", "Div", "Min", "Max", "And", "Or", "Where", "Less", "Greater", "Equal")
INT64, FLOAT, INT32 = 7, 1, 6  # of onnx.TensorProto
Sizes = tuple[int | str | None, ...]  # a name stands for the same number wherever it occurs; None: not known


def fold(proto: onnx.ModelProto) -> None:
    """Rewrite ``proto`` in place; names of inputs and outputs stay."""
    graph = _FoldedGraph(proto.graph)
    graph.rewrite_masks()
    graph.drop_copies()
    graph.drop_unread()
    while graph.merge_equal() + graph.drop_double_masks():
        graph.drop_unread()
    del proto.graph.node[:]
    proto.graph.node.extend(graph.nodes)


class _FoldedGraph:
    """A graph with its nodes by output and its constants by name."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        from onnx import numpy_helper

        self.graph, self.nodes = graph, list(graph.node)
        self.made = {name: node for node in self.nodes for name in node.output}
        self.constants = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
        self.outputs = {value.name for value in graph.output}
        self.sizes: dict[str, Sizes] = {name: array.shape for name, array in self.constants.items()}
        for given in graph.input:
            axes = enumerate(given.type.tensor_type.shape.dim)
            self.sizes[given.name] = tuple(size.dim_value or f"{given.name}/{axis}" for axis, size in axes)

    def rewrite_masks(self) -> None:
        """``step < length`` from integers as they are, and from the first tensor that has so many steps."""
        first: dict[Any, str] = {}
        for node in list(self.nodes):
            mask = self._mask(node)
            if mask is None:
                sizes = self._sizes_after(node)
                if sizes is not None:
                    self.sizes[node.output[0]] = sizes
                continue
            tensor, shape, lengths = mask
            known = self.sizes.get(tensor, ())
            size = known[1] if len(known) > 1 else None
            source = tensor if size is None else first.setdefault(size, tensor)
            at = self.nodes.index(node)
            steps = self._steps(source, shape, at)
            node.input[:] = [steps, self._new("Cast", [lengths], self.nodes.index(node), to=INT64)]
            if shape.tolist() == [1, -1, 1]:
                self.sizes[node.output[0]] = (None, size, 1)

    def _sizes_after(self, node: onnx.NodeProto) -> Sizes | None:
        """Sizes of a node's first output, as far as those of its inputs tell them."""
        inputs = [self.sizes.get(name) for name in node.input]
        if node.op_type in BROADCAST and None not in inputs:
            return _broadcast([sizes for sizes in inputs if sizes is not None])
        first = inputs[0] if inputs else None
        if node.op_type == "ConstantOfShape":
            shape = self._by(node.input[0], "Shape")
            return self.sizes.get(shape.input[0]) if shape is not None and not shape.attribute else None
        if node.op_type == "MaxPool":  # sizes of their own, whatever comes in
            return (None, None, *(f"{node.output[0]}/{axis}" for axis in range(len(_attribute(node, "kernel_shape")))))
        if first is None or node.op_type in SAME:
            return first
        if node.op_type == "Transpose":
            return tuple(first[axis] for axis in _attribute(node, "perm"))
        if node.op_type in ("Squeeze", "Unsqueeze") and len(node.input) == 2 and node.input[1] in self.constants:
            return _reranked(first, self.constants[node.input[1]], more=node.op_type == "Unsqueeze")
        if node.op_type == "MatMul" and len(first) > 1 and len(inputs[1] or ()) == 2:
            return (*first[:-1], inputs[1][-1])  # type: ignore[index]
        if node.op_type in ("LSTM", "GRU"):
            return (first[0], None, first[1], _attribute(node, "hidden_size"))
        strides = _attribute(node, "strides") or [1]
        if node.op_type == "Conv" and _attribute(node, "auto_pad") == b"SAME_UPPER" and set(strides) == {1}:
            return (first[0], (inputs[1] or (None,))[0], *first[2:])
        return None

    def _mask(self, node: onnx.NodeProto) -> tuple[str, np.ndarray, str] | None:
        """Tensor whose steps are counted, shape of the counter and lengths, if ``node`` is such a mask.

        ``Less(Cast(Reshape(Range(0, Squeeze(Slice(Cast(Shape(x)), 1, 2))), 1)), Cast(lengths))``.
        """
        if node.op_type != "Less":
            return None
        left, right = (self._by(name, "Cast") for name in node.input)
        reshape = self._by(left.input[0], "Reshape") if left else None
        counter = self._by(reshape.input[0], "Range") if reshape else None
        if right is None or reshape is None or counter is None or reshape.input[1] not in self.constants:
            return None
        low, high, by = counter.input
        squeeze = self._by(high, "Squeeze")
        part = self._by(squeeze.input[0], "Slice") if squeeze else None
        cast = self._by(part.input[0], "Cast") if part else None
        shape = self._by(cast.input[0], "Shape") if cast else None
        if part is None or cast is None or shape is None or shape.attribute:
            return None
        ends = [self._scalar(name) for name in (low, by, *part.input[1:3])]
        if ends != [0, 1, 1, 2] or _attribute(right, "to") != FLOAT or _attribute(cast, "to") != INT32:
            return None
        return shape.input[0], self.constants[reshape.input[1]], right.input[0]

    def _steps(self, source: str, shape: np.ndarray, at: int) -> str:
        """0, 1, 2, ... of the second axis of ``source``, reshaped; new nodes before ``at``."""
        sizes = self._new("Shape", [source], at)
        size = self._new("Gather", [sizes, self._constant(np.int64(1))], at + 1)
        ends = [self._constant(np.int64(0)), size, self._constant(np.int64(1))]
        counter = self._new("Range", ends, at + 2)
        return self._new("Reshape", [counter, self._constant(shape)], at + 3)

    def drop_copies(self) -> None:
        """Operations that hand on what they get: slices of everything, a negation of a negation."""
        for node in self.nodes:
            if node.op_type == "Slice" and self._takes_all(node):
                self._replace(node.output[0], node.input[0])
            inner = self._by(node.input[0], "Not") if node.op_type == "Not" else None
            if inner is not None:
                self._replace(node.output[0], inner.input[0])

    def _takes_all(self, node: onnx.NodeProto) -> bool:
        if len(node.input) != 5 or any(name not in self.constants for name in node.input[1:]):
            return False
        starts, ends, _, steps = (self.constants[name] for name in node.input[1:])
        return not starts.any() and bool((ends >= 10**9).all() and (steps == 1).all())

    def merge_equal(self) -> int:
        """One node for nodes of the same operation, inputs and attributes; how many went."""
        seen: dict[Any, Any] = {}
        gone = 0
        for node in self.nodes:
            key = (node.op_type, node.domain, tuple(node.input), tuple(a.SerializeToString() for a in node.attribute))
            first = seen.setdefault(key, node)
            if first is not node and not self.outputs & set(node.output) and node.op_type not in ("If", "Loop", "Scan"):
                for old, new in zip(node.output, first.output, strict=True):
                    gone += self._replace(old, new)
        return gone

    def drop_double_masks(self) -> int:
        """``where(m, f(where(m, x, a)), b)`` is ``where(m, f(x), b)``; how many inner ones went."""
        readers = Counter(name for node in self.nodes for name in node.input)
        gone = 0
        for node in self.nodes:
            if node.op_type != "Where":
                continue
            reader, place = node, 1
            inner = self.made.get(reader.input[place])
            while inner is not None and inner.op_type in UNARY and readers[inner.output[0]] == 1:
                reader, place = inner, 0
                inner = self.made.get(inner.input[0])
            if inner is None or inner.op_type != "Where" or inner.input[0] != node.input[0]:
                continue
            if self.constants.get(inner.input[2], np.zeros(2)).size == 1:  # else it might widen the result
                reader.input[place] = inner.input[1]
                gone += 1
        return gone

    def drop_unread(self) -> None:
        """Leave out nodes whose results nobody reads."""
        read, nodes = set(self.outputs), []
        for node in reversed(self.nodes):
            if read & set(node.output):
                nodes.append(node)
                read |= _read(node)
        self.nodes = nodes[::-1]

    def _by(self, name: str, kind: str) -> Any:
        node = self.made.get(name)
        return node if node is not None and node.op_type == kind else None

    def _scalar(self, name: str) -> Any:
        value = self.constants.get(name)
        return None if value is None or value.size != 1 else value.reshape(-1)[0].item()

    def _replace(self, old: str, new: str) -> int:
        """Let readers of ``old`` read ``new``; how many did."""
        changed = 0
        for node in self.nodes:
            for place, name in enumerate(node.input):
                if name == old:
                    node.input[place] = new
                    changed += 1
        return changed

    def _constant(self, value: ArrayLike) -> str:
        from onnx import numpy_helper

        array = np.asarray(value)
        name = f"fold/{array.dtype}/{array.shape}/{array.tolist()}"
        if name not in self.constants:
            self.constants[name] = array
            self.graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def _new(self, kind: str, inputs: list[str], at: int, **attributes: Any) -> str:
        from onnx import helper

        name = f"fold/{kind}/{len(self.made)}"
        node = helper.make_node(kind, inputs, [name], **attributes)
        self.nodes.insert(at, node)
        self.made[name] = node
        return name


def _broadcast(shapes: list[Sizes]) -> Sizes:
    """Sizes of an operation by number on tensors of these; None where they are not seen to agree."""
    rank = max(len(sizes) for sizes in shapes)
    filled = [(1,) * (rank - len(sizes)) + sizes for sizes in shapes]
    joined: list[int | str | None] = []
    for axis in zip(*filled, strict=True):
        named = {size for size in axis if size != 1}
        joined.append(1 if not named else named.pop() if len(named) == 1 else None)
    return tuple(joined)


def _reranked(sizes: Sizes, axes: np.ndarray, *, more: bool) -> Sizes:
    """Sizes after ``axes`` of one step were added or taken away."""
    rank = len(sizes) + (len(axes) if more else 0)
    at = {int(axis) % rank for axis in axes}
    rest = iter(sizes)
    if more:
        return tuple(1 if axis in at else next(rest) for axis in range(rank))
    return tuple(size for axis, size in enumerate(sizes) if axis not in at)


def _attribute(node: onnx.NodeProto, name: str) -> Any:
    import onnx

    return next(
        (onnx.helper.get_attribute_value(attribute) for attribute in node.attribute if attribute.name == name), None
    )


def _read(node: onnx.NodeProto) -> set[str]:
    """Names a node reads, those of the graphs inside it too."""
    names = set(node.input)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            for inner in attribute.g.node:
                names |= _read(inner)
            names |= {value.name for value in attribute.g.output}
    return names
