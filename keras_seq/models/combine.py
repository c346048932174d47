"""Layers that make one answer of several: weighted means, medians, votes, log-odds, weights by recent error.

All take a list of tensors of one shape and compute in float32; their numbers are settings, so that a model
that holds them needs nothing beside its ``.keras`` file.
"""

from __future__ import annotations

from typing import Any, Unpack

from keras import ops

from keras_seq.models.layer import Float32Layer, package
from keras_seq.models.tensor import LayerOptions, Shape, Tensor

SMALLEST = 1e-6  # probability below which log-odds are cut


class Combine(Float32Layer):
    """A list of tensors of one shape to one tensor; float32 whatever the policy."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape of one member."""
        return tuple(input_shape[0])


@package
class WeightedMean(Combine):
    """``sum_i w_i x_i`` over members.

    Args:
        weights: one per member.
    """

    def __init__(self, weights: list[float], **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.member_weights = [float(weight) for weight in weights]

    def call(self, members: list[Tensor]) -> Tensor:
        """Members ``(batch, ...)`` to the same shape."""
        total = members[0] * self.member_weights[0]
        for member, weight in zip(members[1:], self.member_weights[1:], strict=True):
            total = total + member * weight
        return total

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "weights": self.member_weights}


@package
class Median(Combine):
    """Median over members, element by element; the mean of the middle two for an even number.

    Args:
        normalise: divide by the sum over the last axis: medians of class probabilities do not sum to 1.
    """

    def __init__(self, normalise: bool = False, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.normalise = normalise

    def call(self, members: list[Tensor]) -> Tensor:
        """Members ``(batch, ...)`` to the same shape."""
        ordered = ops.sort(ops.stack(members, axis=-1), axis=-1)
        count = len(members)
        middle = (ordered[..., (count - 1) // 2] + ordered[..., count // 2]) / 2.0
        if not self.normalise:
            return middle
        return middle / ops.maximum(ops.sum(middle, axis=-1, keepdims=True), SMALLEST)


@package
class Vote(Combine):
    """Share of the members that call a class; ties within a member are shared.

    Args:
        thresholds: binary members: probability from which each one calls the event; empty: several classes,
            each member calls its most probable one.
    """

    def __init__(self, thresholds: list[float], **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.thresholds = [float(value) for value in thresholds]

    def call(self, members: list[Tensor]) -> Tensor:
        """Probabilities ``(batch, ..., classes)`` to shares of votes of the same shape."""
        if self.thresholds:
            called = [
                ops.cast(member >= threshold, "float32")
                for member, threshold in zip(members, self.thresholds, strict=True)
            ]
        else:
            called = [_most_probable(member) for member in members]
        return sum(called[1:], called[0]) / float(len(called))


def _most_probable(member: Tensor) -> Tensor:
    best = ops.cast(member >= ops.max(member, axis=-1, keepdims=True), "float32")
    return best / ops.sum(best, axis=-1, keepdims=True)


@package
class MemberTable(Combine):
    """What a linear meta learner reads: members side by side on the last axis.

    Args:
        link: "identity"; "logit": log-odds of a probability; "log": logarithms of class probabilities.
    """

    def __init__(self, link: str, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.link = link

    def call(self, members: list[Tensor]) -> Tensor:
        """Members ``(..., width)`` to ``(..., members * width)``, member by member."""
        table = ops.concatenate(members, axis=-1)
        if self.link == "identity":
            return table
        table = ops.clip(table, SMALLEST, 1.0 - SMALLEST)
        return ops.log(table) if self.link == "log" else ops.log(table) - ops.log(1.0 - table)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Widths add up."""
        return (*input_shape[0][:-1], sum(shape[-1] for shape in input_shape))


@package
class Earlier(Float32Layer):
    """The window as it was ``steps`` steps ago: its last steps taken away.

    Args:
        steps: at least 1.
    """

    def __init__(self, steps: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.steps = steps

    def call(self, values: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, features)`` to ``(batch, time - steps, features)``; with lengths, these alone change."""
        if lengths is None:
            return values[:, : -self.steps]
        return ops.maximum(ops.cast(lengths, "int32") - self.steps, 1)


@package
class RecentErrorMean(Float32Layer):
    """Mean of forecasts weighted by the inverse of their mean squared error on the window's own last steps.

    Bates & Granger (1969), weights ``(1 / e_i) / sum_j (1 / e_j)``; errors count in deviations of the targets.

    Args:
        members: how many.
        ages: how many steps ago each set of old forecasts was made; each at least the horizon.
        horizon: steps ahead.
        target_index: positions of the targets among the features.
        deviation: of the targets in training, raw units.
    """

    def __init__(
        self,
        members: int,
        ages: list[int],
        horizon: int,
        target_index: list[int],
        deviation: list[float],
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.members, self.ages, self.horizon = members, list(ages), horizon
        self.target_index, self.deviation = list(target_index), list(deviation)

    def call(self, values: Tensor, forecasts: list[Tensor], lengths: Tensor = None) -> Tensor:
        """Combine.

        Args:
            values: the window ``(batch, time, features)``, raw units.
            forecasts: of now, then of each age: the members in order, each ``(batch, horizon, targets)``.
            lengths: real steps ``(batch,)``, or None.

        Returns:
            ``(batch, horizon, targets)``.
        """
        now, count = forecasts[: self.members], self.members
        errors: list[Tensor] = [0.0] * count
        for position, age in enumerate(self.ages, 1):
            truth, known = self._truth(values, lengths, age)
            for i, forecast in enumerate(forecasts[position * count : (position + 1) * count]):
                scaled = (forecast - truth) / ops.reshape(ops.convert_to_tensor(self.deviation, "float32"), (1, 1, -1))
                errors[i] = errors[i] + ops.sum(ops.where(known, scaled, 0.0) ** 2, axis=(1, 2), keepdims=True)
        inverse = [1.0 / (error + 1e-6) for error in errors]
        total = sum(inverse[1:], inverse[0])
        parts = [forecast * (weight / total) for forecast, weight in zip(now, inverse, strict=True)]
        return sum(parts[1:], parts[0])

    def _truth(self, values: Tensor, lengths: Tensor, age: int) -> tuple[Tensor, Tensor]:
        """What came after the step ``age`` ago, ``(batch, horizon, targets)``, and where it is known."""
        targets = ops.stack([values[:, :, i] for i in self.target_index], axis=-1)
        time = ops.shape(values)[1]
        end = ops.cast(lengths, "int32")[:, None] if lengths is not None else ops.reshape(time, (1, 1))
        end = ops.cast(end, "int32")
        step = ops.arange(time, dtype="int32")[None, :]
        ahead_rows = []
        for ahead in range(self.horizon):
            chosen = ops.cast(step == end - age + ahead, "float32")[:, :, None]
            ahead_rows.append(ops.sum(ops.where(chosen > 0, targets, 0.0), axis=1))
        truth = ops.stack(ahead_rows, axis=1)
        seen = ops.reshape(ops.cast(end - age >= 1, "float32"), (-1, 1, 1))
        known = (seen * ops.ones_like(truth) > 0) & (truth == truth)  # NaN differs from itself
        return ops.where(known, truth, 0.0), known

    def compute_output_shape(
        self, values_shape: Shape, forecasts_shape: Shape, lengths_shape: Shape | None = None
    ) -> Shape:
        """The shape of one forecast."""
        return tuple(forecasts_shape[0])
