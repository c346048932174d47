"""Trees of scikit-learn and LightGBM as plain arrays for ``keras_seq.models.tree_ensemble``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.baselines.trees import Estimator, class_columns
from keras_seq.models.tree_ensemble import Link, Tree, TreeEnsemble

Parts = tuple[TreeEnsemble, list[NDArray[Any]]]
IMPOSSIBLE = -1e9  # logit of a class that training never saw: its probability is exactly 0


def forest_layer(model: Estimator, classes: int = 0) -> Parts:
    """A random forest or extremely random trees: the mean over trees.

    Args:
        model: fitted scikit-learn forest, of values or of classes.
        classes: 0 for values; 1 for the probability of class 1; else number of classes, of which training may
            have missed some.
    """
    trees = []
    for estimator in model.estimators_:
        tree = estimator.tree_
        value = tree.value[:, :, 0]
        if classes:
            counts = tree.value[:, 0]
            value = class_columns(counts / counts.sum(1, keepdims=True), model.classes_, classes)
        trees.append(Tree(tree.feature, tree.threshold, tree.children_left, tree.children_right, value))
    return TreeEnsemble.from_trees(trees, scale=1.0 / len(trees))


def library_answers(models: list[Estimator], rows: NDArray[Any], classes: int = 0) -> NDArray[Any]:
    """The library's own answers, ``(n, outputs)``: of one model, or of one model per output.

    Args:
        models: fitted.
        rows: features ``(n, k)``.
        classes: as in ``forest_layer``.
    """
    if classes:
        return class_columns(models[0].predict_proba(rows), models[0].classes_, classes)
    return np.concatenate([model.predict(rows).reshape(len(rows), -1) for model in models], 1)


def histogram_layer(models: list[Estimator], classes: int = 0) -> Parts:
    """scikit-learn's histogram boosting: one model of classes, or one of values per output.

    Args:
        models: fitted; as many rounds each.
        classes: as in ``forest_layer``.
    """

    def plain(predictor: Estimator) -> Tree:
        nodes = predictor.nodes
        leaf = nodes["is_leaf"].astype(bool)
        left = np.where(leaf, -1, nodes["left"].astype(np.int64))
        right = np.where(leaf, -1, nodes["right"].astype(np.int64))
        return Tree(nodes["feature_idx"], nodes["num_threshold"], left, right, nodes["value"][:, None])

    if not classes:
        rounds = [[plain(one[0]) for one in row] for row in zip(*(m._predictors for m in models), strict=True)]
        base = np.array([float(np.ravel(model._baseline_prediction)[0]) for model in models])
        return _boosted(rounds, base, "identity")
    model = models[0]
    rounds = [[plain(one) for one in row] for row in model._predictors]
    return _boosted_classes(rounds, np.ravel(model._baseline_prediction).astype(float), model.classes_, classes)


def lightgbm_layer(models: list[Estimator], classes: int = 0) -> Parts:
    """LightGBM's trees; its starting score is part of the first tree. Arguments as for ``histogram_layer``."""
    dumps = [[_lightgbm_tree(one["tree_structure"]) for one in m.booster_.dump_model()["tree_info"]] for m in models]
    if not classes:
        most = max(len(trees) for trees in dumps)  # it stops early where nothing is left to gain
        filled = [trees + [_nothing()] * (most - len(trees)) for trees in dumps]
        return _boosted([list(row) for row in zip(*filled, strict=True)], np.zeros(len(models)), "identity")
    each = 1 if len(models[0].classes_) == 2 else len(models[0].classes_)
    rounds = [dumps[0][i : i + each] for i in range(0, len(dumps[0]), each)]
    return _boosted_classes(rounds, np.zeros(each), models[0].classes_, classes)


def _lightgbm_tree(structure: dict[str, Any]) -> Tree:
    """Nested dictionaries to arrays, parents first."""
    nodes, children = [structure], list[tuple[int, int]]()
    for node in nodes:  # grows while it is read
        if "leaf_value" in node:
            children.append((-1, -1))
        else:
            children.append((len(nodes), len(nodes) + 1))
            nodes += [node["left_child"], node["right_child"]]
    left, right = np.array(children, np.int64).T
    return Tree(
        feature=np.array([node.get("split_feature", 0) for node in nodes]),
        threshold=np.array([node.get("threshold", np.inf) for node in nodes], np.float64),
        left=left,
        right=right,
        value=np.array([[node.get("leaf_value", 0.0)] for node in nodes]),
    )


def _boosted(rounds: list[list[Tree]], base: NDArray[Any], link: Link) -> Parts:
    flat = [tree for row in rounds for tree in row]
    return TreeEnsemble.from_trees(flat, groups=len(base), base=base, link=link)


def _boosted_classes(rounds: list[list[Tree]], base: NDArray[Any], known: NDArray[Any], classes: int) -> Parts:
    """Logits to probabilities; classes that training never saw get a logit that makes them impossible."""
    if classes == 1:
        return _boosted(rounds, base, "sigmoid")
    if len(known) == 2:  # one logit tells two classes apart
        rounds, base = [[_nothing(), *row] for row in rounds], np.concatenate([[0.0], base])
    full = np.full(classes, IMPOSSIBLE)
    full[known] = base
    at = {int(number): place for place, number in enumerate(known)}
    return _boosted(
        [[row[at[c]] if c in at else _nothing() for c in range(classes)] for row in rounds], full, "softmax"
    )


def _nothing() -> Tree:
    """A tree of one leaf that adds 0."""
    nowhere = np.full(1, -1)
    return Tree(np.zeros(1, np.int64), np.zeros(1), nowhere, nowhere, np.zeros((1, 1)))
