"""Task, classes and the reach of targets, settled once the labels of a whole table are known."""

from __future__ import annotations

from keras_seq.config import TaskName
from keras_seq.data.reading.labels import natural
from keras_seq.data.series import Schema
from keras_seq.data.sources.positive import order_classes
from keras_seq.data.sources.table_layout import Layout
from keras_seq.errors import ConfigError, DataError
from keras_seq.tasks import classifies


def settle_classes(
    layout: Layout, texts: list[str], counts: list[int], *, text_labels: bool
) -> tuple[TaskName, tuple[str, ...]]:
    """Task and class texts by number, from the distinct labels of the file and how often each occurs."""
    schema = layout.schema
    task: TaskName = schema.task
    if not layout.task_given and task == "regression" and len(schema.targets) == 1 and set(texts) == {"0", "1"}:
        task = "binary"
    if layout.positive is not None and not classifies(task):
        raise ConfigError(
            f"Option 'data.positive' is '{layout.positive}', but the task is {task}, which has no classes; give "
            "--data.task binary where the target's numbers are classes."
        )
    if not classifies(task):
        return task, ()
    classes = schema.classes or tuple(sorted(texts, key=natural))
    if task == "binary" and not text_labels and not schema.classes and set(texts) <= {"0", "1"}:
        classes = ("0", "1")
    if not layout.task_given and len(classes) == 2:
        task = "binary"
    if task == "binary" and len(classes) != 2:
        raise DataError(
            f"Task 'binary' needs two classes in '{schema.targets[0]}' of '{layout.path}', found {len(classes)}: "
            f"{', '.join(classes[:8])}. Use --data.task multiclass, or mend the labels."
        )
    if task == "binary":
        often = dict(zip(texts, counts, strict=True))
        target, listed = schema.targets[0], bool(schema.classes)
        classes = order_classes(classes, often, asked=layout.positive, listed=listed, target=target)
    elif layout.positive is not None:
        raise ConfigError(
            f"Option 'data.positive' is '{layout.positive}', but '{schema.targets[0]}' has {len(classes)} classes; one "
            "of them is positive only for task binary, which has two."
        )
    return task, classes


def settle_target_per(layout: Layout, schema: Schema, path: str, *, units: int, constant: bool, dense: bool) -> Schema:
    """The schema with targets per unit or per step: as its file says, or, of classes, as all rows of a stream tell.

    Args:
        layout: of the table.
        schema: its task is settled.
        path: of the table, for the message.
        units: how many there are.
        constant: every unit has one target.
        dense: an answer at every step is wanted.

    Raises:
        DataError: the file says one target per unit, but targets change.
    """
    asked = layout.per_given and schema.target_per == "unit"
    if asked and not constant:
        raise DataError(
            f"The schema of '{path}' says one target per unit, but targets change within a unit; say "
            "'target_per: step'."
        )
    guessed = not layout.per_given and schema.classifies and units > 1 and constant and not dense
    return schema.model_copy(update={"target_per": "unit" if asked or guessed else "step"})
