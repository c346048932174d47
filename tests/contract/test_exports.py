"""Every family leaves Keras unchanged as a SavedModel; ONNX and TFLite are in test_formats.py."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.factories.families import sequence_families
from tests.factories.tiers import tiers


def signature(batch=None, time=None):
    import tensorflow as tf

    return [
        tf.TensorSpec((batch, time, 3), tf.float32, name="values"),
        tf.TensorSpec((batch,), tf.int32, name="lengths"),
    ]


def serving(model):
    return lambda values, lengths: {"answer": model({"values": values, "lengths": lengths}, training=False)}


def write_saved_model(model, folder, batch=None, time=None):
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serving(model), input_signature=signature(batch, time))
    archive.write_out(str(folder), verbose=False)


@pytest.mark.parametrize("family", tiers(sequence_families(), quick=["lstm"], slow=set(sequence_families()) - {"lstm"}))
def test_saved_model_agrees(build, tmp_path, family):
    import tensorflow as tf

    case = build(family)
    write_saved_model(case.model, tmp_path / "model")
    served = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    answers = served(values=tf.constant(case.inputs["values"]), lengths=tf.constant(case.inputs["lengths"]))["answer"]
    np.testing.assert_allclose(answers, case.answers, rtol=0, atol=case.tolerance)
