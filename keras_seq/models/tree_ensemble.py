"""Decision trees as a Keras layer: node arrays as weights, a fixed number of gathers as traversal.

A forest or a boosted ensemble that another library grew becomes part of the graph, so a bundle of trees is
loaded, exported and served like one of a network. There is no loop operator: every tree is walked as many levels
as the deepest one of its block has, and rows that have reached a leaf stay there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Unpack

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_seq.models.layer import ConfiguredLayer, package
from keras_seq.models.tensor import LayerOptions, Shape, Tensor

Link = Literal["identity", "sigmoid", "softmax"]
BLOCK = 64  # trees walked at a time: bounds memory to (rows, BLOCK) per step of the walk


@dataclass(frozen=True)
class Tree:
    """One tree as its library has it; node 0 is the root.

    Attributes:
        feature: column tested, int64 ``(nodes,)``; any number at leaves.
        threshold: a row goes left where ``x <= threshold``, float64 ``(nodes,)``.
        left: child if so, int64 ``(nodes,)``; negative at leaves.
        right: child if not.
        value: what a leaf answers, float64 ``(nodes, width)``; any number elsewhere.
    """

    feature: NDArray[Any]
    threshold: NDArray[Any]
    left: NDArray[Any]
    right: NDArray[Any]
    value: NDArray[Any]


@dataclass(frozen=True)
class Nodes:
    """All trees in the arrays that the layer holds; see ``TreeEnsemble``."""

    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    value: NDArray[np.float32]
    root: NDArray[np.int32]
    depths: tuple[int, ...]


def floor_float32(threshold: NDArray[Any]) -> NDArray[np.float32]:
    """The largest float32 not above each of ``(nodes,)``: float32 inputs then go the same way as before rounding."""
    with np.errstate(over="ignore"):
        rounded = np.asarray(threshold, np.float64).astype(np.float32)
    above = rounded.astype(np.float64) > threshold
    rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
    return rounded


def join_trees(trees: list[Tree], groups: int = 1) -> Nodes:
    """Lay trees one behind the other, siblings side by side, in blocks of similar depth.

    Args:
        trees: tree ``i`` adds to output group ``i % groups``.
        groups: how many consecutive trees make one round; a round stays together.
    """
    laid = [_breadth_first(tree) for tree in trees]
    rounds = [laid[i : i + groups] for i in range(0, len(laid), groups)]
    rounds.sort(key=lambda one: max(depth for _, depth in one))  # shallow trees need not wait for deep ones
    ordered = [tree for one in rounds for tree in one]
    sizes = np.array([len(tree.left) for tree, _ in ordered])
    root = np.cumsum(sizes) - sizes
    left = [tree.left + start for (tree, _), start in zip(ordered, root, strict=True)]
    block = block_size(groups)
    return Nodes(
        feature=np.concatenate([tree.feature for tree, _ in ordered]).astype(np.int32),
        threshold=floor_float32(np.concatenate([tree.threshold for tree, _ in ordered])),
        left=np.concatenate(left).astype(np.int32),
        value=np.concatenate([tree.value for tree, _ in ordered]).astype(np.float32),
        root=root.astype(np.int32),
        depths=tuple(max(d for _, d in ordered[i : i + block]) for i in range(0, len(ordered), block)),
    )


def block_size(groups: int) -> int:
    """Trees of a block: whole rounds."""
    return max(1, BLOCK // groups) * groups


def _breadth_first(tree: Tree) -> tuple[Tree, int]:
    """The tree with ``right == left + 1`` everywhere, leaves that lead to themselves, and its depth in levels."""
    level, order, left, depth = np.zeros(1, np.int64), [np.zeros(1, np.int64)], [], 0
    placed = 1
    while True:
        inner = tree.left[level] >= 0
        first = placed + 2 * (np.cumsum(inner) - 1)
        own = placed - len(level) + np.arange(len(level))
        left.append(np.where(inner, first, own))
        if not inner.any():
            break
        level = np.stack([tree.left[level[inner]], tree.right[level[inner]]], 1).ravel()
        order.append(level)
        placed, depth = placed + len(level), depth + 1
    nodes = np.concatenate(order)
    leaf = tree.left[nodes] < 0
    feature = np.where(leaf, 0, tree.feature[nodes])
    threshold = np.where(leaf, np.inf, tree.threshold[nodes])
    children = np.concatenate(left)
    return Tree(feature, threshold, children, children + 1, tree.value[nodes]), depth


@package
class TreeEnsemble(ConfiguredLayer):
    """``link(base + scale * sum over trees of the leaf a row falls into)``.

    Weights, none of them trained: ``feature``, ``left`` (int32) and ``threshold`` (float32), one number a node;
    ``value (nodes, width)``; ``root (trees,)``; ``base (groups * width,)``. The right child of a node lies behind its
    left one; a leaf has threshold infinity and leads to itself. A row goes left where ``x <= threshold``. Forests
    have one group of vector leaves (``width`` outputs); boosting has a tree per output in every round
    (``groups`` outputs).

    Args:
        nodes: nodes of all trees together.
        trees: number of trees.
        depths: levels to walk, per block of ``block_size(groups)`` trees.
        width: numbers in a leaf.
        groups: consecutive trees that belong to different outputs.
        scale: 1 for a sum over trees, ``1 / trees`` for a mean.
        link: from the sum to the answer; ``softmax`` over the outputs.
    """

    def __init__(
        self,
        nodes: int,
        trees: int,
        depths: tuple[int, ...] | list[int],
        width: int = 1,
        groups: int = 1,
        scale: float = 1.0,
        link: Link = "identity",
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32", "trainable": False})  # thresholds do not fit half precision
        self.nodes, self.trees, self.depths = nodes, trees, list(depths)
        self.width, self.groups, self.scale, self.link = width, groups, scale, link

    @classmethod
    def from_trees(
        cls,
        trees: list[Tree],
        *,
        groups: int = 1,
        scale: float = 1.0,
        base: float | NDArray[Any] = 0.0,
        link: Link = "identity",
        name: str = "trees",
    ) -> tuple[TreeEnsemble, list[NDArray[Any]]]:
        """The unbuilt layer, and the weights to set once it is built."""
        joined = join_trees(trees, groups)
        width = joined.value.shape[1]
        layer = cls(len(joined.left), len(trees), joined.depths, width, groups, scale, link, name=name)
        start = np.broadcast_to(np.asarray(base, np.float32), (groups * width,))
        return layer, [joined.feature, joined.threshold, joined.left, joined.value, joined.root, start]

    def build(self, input_shape: Shape) -> None:
        """Make room for the nodes."""

        def add(name: str, shape: tuple[int, ...], dtype: str) -> Tensor:
            return self.add_weight(shape=shape, dtype=dtype, initializer="zeros", trainable=False, name=name)

        self.feature = add("feature", (self.nodes,), "int32")
        self.threshold = add("threshold", (self.nodes,), "float32")
        self.left = add("left", (self.nodes,), "int32")
        self.value = add("value", (self.nodes, self.width), "float32")
        self.root = add("root", (self.trees,), "int32")
        self.base = add("base", (self.groups * self.width,), "float32")

    def call(self, x: Tensor) -> Tensor:
        """``(..., features)`` to ``(..., groups * width)``; leading axes are free."""
        features = x.shape[-1]
        lead = tf.shape(x)[:-1]
        flat = tf.reshape(x, (-1,))  # one gather with plain indices: what every converter understands
        offset = tf.range(tf.reduce_prod(lead), dtype=tf.int32)[:, None] * features
        tables = [tf.convert_to_tensor(w) for w in (self.feature, self.threshold, self.left, self.value)]
        roots, block = tf.convert_to_tensor(self.root), block_size(self.groups)
        total: Tensor = 0.0
        for number, depth in enumerate(self.depths):
            start = roots[number * block : min((number + 1) * block, self.trees)]
            total = total + self._block(flat, offset, tables, start, depth)
        answer = total * self.scale + tf.convert_to_tensor(self.base)
        if self.link == "sigmoid":
            answer = tf.sigmoid(answer)
        elif self.link == "softmax":
            answer = tf.nn.softmax(answer)
        return tf.reshape(answer, tf.concat([lead, [self.groups * self.width]], 0))

    def _block(self, flat: Tensor, offset: Tensor, tables: list[Tensor], start: Tensor, depth: int) -> Tensor:
        """Sum over the trees that begin at ``start``: ``(rows, groups * width)``."""
        feature, threshold, left, value = tables
        node = start[None, :] + tf.zeros_like(offset)
        for _ in range(depth):
            x = tf.gather(flat, offset + tf.gather(feature, node))
            node = tf.gather(left, node) + tf.cast(x > tf.gather(threshold, node), tf.int32)
        leaves = tf.gather(value, node)
        rounds = start.shape[0] // self.groups
        return tf.reduce_sum(tf.reshape(leaves, (-1, rounds, self.groups * self.width)), axis=1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The last axis becomes the outputs."""
        return (*input_shape[:-1], self.groups * self.width)
