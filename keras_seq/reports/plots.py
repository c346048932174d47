"""Pictures of a run as PNG: training history, and predictions against truth by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_seq.data.series import Series
from keras_seq.data.spec import DataSpec
from keras_seq.drawing import BLUE, GREEN, GREY, ORANGE, RED, panels, save
from keras_seq.training import calibration as bins
from keras_seq.training import class_metrics
from keras_seq.training.predictions import Points, middle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WATCHED = ("val_auc_roc", "val_auc_pr", "val_accuracy", "val_rmse", "val_mae")


def history(epochs: Mapping[str, Sequence[float]], kept_epoch: int, path: Path, *, kept: str = "best") -> Path:
    """Loss and a few validation metrics by epoch; marked is the ``kept`` epoch, "best" or "last", counted from 1."""
    losses = [name for name in ("loss", "val_loss") if name in epochs]
    others = [name for name in WATCHED if np.isfinite(epochs.get(name, [np.nan])).any()][:3]
    figure, axes = panels(1 + bool(others))
    for axis, names, label in zip(axes, (losses, others), ("loss", "validation metric"), strict=False):
        for name, colour in zip(names, (BLUE, ORANGE, GREEN), strict=False):
            axis.plot(range(1, len(epochs[name]) + 1), epochs[name], color=colour, label=name)
        axis.axvline(kept_epoch, color=GREY, linestyle=":", label=f"{kept} epoch, kept ({kept_epoch})")
        axis.set(xlabel="epoch", ylabel=label)
        axis.legend(fontsize=8)
    return save(figure, path, "Training history")


def predictions(
    points: Points,
    spec: DataSpec,
    series: Series,
    folder: Path,
    *,
    quantiles: Sequence[float] = (),
    threshold: float = 0.5,
    part: str = "test",
    raw: np.ndarray | None = None,
) -> list[Path]:
    """Draw what fits the task and return the files written; ``raw`` holds probabilities before calibration."""
    if spec.task == "binary":
        path = folder / f"{part}_roc_pr_calibration.png"
        return [binary(points, path, threshold=threshold, part=part, raw=raw, classes=spec.classes)]
    if spec.task == "multiclass":
        drawn = confusion(points, spec, folder / f"{part}_confusion.png", part=part)
        return [drawn, calibration(points, folder / f"{part}_calibration.png", part=part, raw=raw)]
    value = middle(points.prediction, tuple(quantiles)) if quantiles else points.prediction
    unit = f" [{series.schema.target_unit}]" if series.schema.target_unit else ""
    if spec.task == "forecast":
        return [forecast(points.truth, value, spec, folder / f"{part}_forecast.png", unit=unit, part=part)]
    name, value = f"{spec.targets[0]}{unit}", value.reshape(len(value), -1)
    files = [regression(points.truth[:, 0], value[:, 0], folder / f"{part}_predictions.png", name=name, part=part)]
    if len(np.unique(points.unit)) < len(points.unit):
        files.append(tracks(points, value[:, 0], series, folder / f"{part}_tracks.png", name=name))
    return files


def binary(
    points: Points,
    path: Path,
    *,
    threshold: float,
    part: str,
    raw: np.ndarray | None = None,
    classes: Sequence[str] = (),
) -> Path:
    """ROC, precision-recall and reliability curves, and the scores of both classes, called by their names."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    names = tuple(classes) or ("class 0", "class 1")

    truth, score = points.truth, points.prediction
    figure, (roc, pr, diagram, scores) = panels(4)
    if 0 < truth.sum() < len(truth):  # else no curve is defined
        false_rate, true_rate, _ = roc_curve(truth, score)
        roc.plot(false_rate, true_rate, color=BLUE, label=f"AUC {class_metrics.auc_roc(truth, score):.3f}")
        precision, recall, _ = precision_recall_curve(truth, score)
        pr.plot(recall, precision, color=BLUE, label=f"AP {class_metrics.auc_pr(truth, score):.3f}")
    roc.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="chance")
    roc.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
    pr.axhline(truth.mean(), color=GREY, linestyle=":", label=f"share of {names[1]} {truth.mean():.3f}")
    pr.set(xlabel="recall", ylabel="precision", title="Precision-recall", ylim=(0, 1.02))
    reliability(diagram, truth, score, raw)
    edges = np.linspace(0, 1, 31).tolist()
    scores.hist(score[truth == 0], bins=edges, density=True, alpha=0.6, color=BLUE, label=names[0])
    scores.hist(score[truth == 1], bins=edges, density=True, alpha=0.6, color=ORANGE, label=names[1])
    scores.axvline(threshold, color=RED, linestyle="--", label=f"threshold {threshold:.2f}")
    scores.set(xlabel=f"predicted probability of {names[1]}", ylabel="density (log)", title="Scores", yscale="log")
    for axis in (roc, pr, diagram, scores):
        axis.legend(fontsize=8)
    return save(figure, path, f"{part.capitalize()} set, {len(truth)} sequences; positive: {names[1]}")


def calibration(points: Points, path: Path, *, part: str, raw: np.ndarray | None = None) -> Path:
    """Reliability diagram of several classes: the highest probability against being right."""
    figure, (axis,) = panels(1, width=5.0)
    reliability(axis, points.truth, points.prediction, raw)
    axis.legend(fontsize=8)
    return save(figure, path, f"{part.capitalize()} set, {len(points.truth)} sequences")


def reliability(axis: Axes, truth: np.ndarray, probability: np.ndarray, raw: np.ndarray | None = None) -> None:
    """Observed share against predicted probability in 10 bins of equal mass, before and after calibration.

    Args:
        axis: drawn on.
        truth: class numbers ``(n,)``.
        probability: as answered, ``(n,)`` or ``(n, classes)``.
        raw: before calibration; not drawn where it is the same.
    """
    axis.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfect")
    curves = [(probability, BLUE, "o-", "answered")]
    if raw is not None and not np.allclose(raw, probability, atol=1e-6):
        curves = [(raw, ORANGE, "s--", "before"), (probability, BLUE, "o-", "calibrated")]
    for values, colour, style, label in curves:
        predicted, observed, count = bins.reliability(truth, values, bins=10, equal_mass=True)
        error = bins.calibration_error(truth, values)
        deviation = np.sqrt(observed * (1 - observed) / count)  # binomial, of the observed share
        axis.errorbar(
            predicted,
            observed,
            yerr=deviation,
            fmt=style,
            color=colour,
            markersize=4,
            capsize=2,
            label=f"{label}, ECE {error:.3f}",
        )
    axis.set(xlabel="predicted probability", ylabel="observed share", title="Calibration")


def confusion(points: Points, spec: DataSpec, path: Path, *, part: str) -> Path:
    """Confusion matrix, rows true, columns predicted, counts written in."""
    classes = spec.classes or tuple(map(str, range(points.prediction.shape[1])))
    predicted = points.prediction.argmax(axis=1)
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (points.truth.astype(int), predicted), 1)
    figure, (axis,) = panels(1, width=max(5.0, 0.55 * len(classes) + 2))
    axis.grid(False)
    axis.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        if counts[row, column]:
            colour = "white" if counts[row, column] > counts[row].sum() / 2 else "black"
            axis.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=8)
    axis.set(xlabel="predicted class", ylabel="true class")
    axis.set_xticks(range(len(classes)), classes)
    axis.set_yticks(range(len(classes)), classes)
    accuracy = float(np.mean(predicted == points.truth))
    return save(figure, path, f"{part.capitalize()} set, accuracy {accuracy:.3f}")


def regression(truth: np.ndarray, value: np.ndarray, path: Path, *, name: str, part: str) -> Path:
    """Prediction against truth, ``(points,)`` each; residuals by truth, distribution of residuals."""
    figure, (scatter, by_truth, spread) = panels(3)
    residual = value - truth
    shown = np.random.default_rng(0).permutation(len(truth))[:5000]
    low, high = float(min(truth.min(), value.min())), float(max(truth.max(), value.max()))
    scatter.plot([low, high], [low, high], color=GREY, linestyle=":", label="perfect")
    scatter.scatter(truth[shown], value[shown], s=8, alpha=0.5, color=BLUE)
    scatter.set(xlabel=f"true {name}", ylabel=f"predicted {name}", title="Prediction against truth")
    scatter.legend(fontsize=8)
    by_truth.axhline(0, color=GREY, linestyle=":")
    by_truth.scatter(truth[shown], residual[shown], s=8, alpha=0.5, color=BLUE)
    by_truth.set(xlabel=f"true {name}", ylabel="predicted - true", title="Residuals")
    spread.hist(residual, bins=40, color=BLUE)
    spread.axvline(residual.mean(), color=ORANGE, linestyle="--", label=f"mean {residual.mean():.3g}")
    spread.set(xlabel="predicted - true", ylabel="count", title=f"RMSE {np.sqrt(np.mean(residual**2)):.4g}")
    spread.legend(fontsize=8)
    return save(figure, path, f"{part.capitalize()} set, {len(truth)} predictions (truth not capped)")


def tracks(points: Points, value: np.ndarray, series: Series, path: Path, *, name: str) -> Path:
    """Prediction ``(points,)`` and truth along the life of six units, shortest to longest."""
    units = np.unique(points.unit)
    units = units[np.argsort([np.count_nonzero(points.unit == unit) for unit in units])]
    chosen = units[np.linspace(0, len(units) - 1, min(6, len(units))).astype(int)]
    figure, axes = panels(len(chosen), columns=3)
    for axis, unit in zip(axes, chosen, strict=False):
        own = np.flatnonzero(points.unit == unit)
        own = own[np.argsort(points.row[own])]
        axis.plot(points.steps[own], points.truth[own, 0], color=GREY, linestyle="--", label="truth")
        axis.plot(points.steps[own], value[own], color=BLUE, label="prediction")
        axis.set(xlabel="step", ylabel=name, title=str(series.unit_ids[unit]))
    axes[0].legend(fontsize=8)
    return save(figure, path, "Prediction along the units")


def forecast(truth: np.ndarray, value: np.ndarray, spec: DataSpec, path: Path, *, unit: str, part: str) -> Path:
    """One-step forecasts over time, or three example windows, and the error by step ahead."""
    horizon = truth.shape[1]
    figure, axes = panels(2 if horizon == 1 else 4)
    name = f"{spec.targets[-1]}{unit}"
    if horizon == 1:
        axes[0].plot(truth[:, 0, -1], color=GREY, label="truth")
        axes[0].plot(value[:, 0, -1], color=BLUE, label="forecast")
        axes[0].set(xlabel=f"step of the {part} period", ylabel=name, title="One step ahead")
        residual = (value - truth)[:, 0, -1]
        axes[1].hist(residual, bins=30, color=BLUE)
        axes[1].set(xlabel="forecast - truth", ylabel="count", title=f"RMSE {np.sqrt(np.mean(residual**2)):.4g}")
    else:
        for axis, window in zip(axes, np.linspace(0, len(truth) - 1, 3).astype(int), strict=False):
            axis.plot(range(1, horizon + 1), truth[window, :, -1], color=GREY, label="truth")
            axis.plot(range(1, horizon + 1), value[window, :, -1], color=BLUE, label="forecast")
            axis.set(xlabel="steps ahead", ylabel=name, title=f"{part} window {window}")
        scaled = (value - truth) / np.array(spec.target_std)
        axes[3].plot(range(1, horizon + 1), np.mean(scaled**2, axis=(0, 2)), color=BLUE)
        axes[3].set(xlabel="steps ahead", ylabel="MSE, scaled", title="Error by step ahead", ylim=(0, None))
    axes[0].legend(fontsize=8)
    return save(figure, path, f"{part.capitalize()} set, {len(truth)} forecasts")
