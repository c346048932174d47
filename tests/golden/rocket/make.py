"""Kernels, biases and features of aeon and sktime on three small sets, which ours must equal.

    pip install aeon==1.6.0 && pip download --no-deps sktime==0.40.1 && unzip -q sktime-0.40.1-*.whl
    python tests/golden/rocket/make.py

Series are multiples of 1/16, so that sums are exact in any order. Of sktime one file is read, without its package.
"""

import sys
import types
from pathlib import Path

import numba
import numpy as np
from aeon.transformations.collection.convolution_based import MiniRocket

RAGGED = Path("sktime/transformations/panel/rocket/_minirocket_multi_var_numba.py")
rng = np.random.RandomState(7)
out = {}


def walk(*shape):
    return (np.round(np.cumsum(rng.normal(size=shape), -1) * 16) / 16).astype(np.float32)


def keep(name, series, parameters, features):
    names = ("channels", "indices", "dilations", "counts", "biases")
    out.update({f"{name}_{key}": value for key, value in zip(names, parameters, strict=True)})
    out.update({f"{name}_series": series, f"{name}_features": features})


for name, shape, features, seed in (("one", (6, 1, 40), 420, 3), ("many", (5, 4, 33), 336, 11)):
    series = walk(*shape)
    model = MiniRocket(n_kernels=features, random_state=seed)
    transformed = model.fit_transform(series)
    keep(name, series, model.parameters, transformed)

for part in ("sktime", "sktime.utils", "sktime.utils.dependencies", "sktime.utils.numba", "sktime.utils.numba.njit"):
    sys.modules[part] = types.ModuleType(part)
sys.modules["sktime.utils.dependencies"]._check_soft_dependencies = lambda *names, **options: True
sys.modules["sktime.utils.numba.njit"].njit = lambda signature, **options: numba.njit(**{**options, "cache": False})
ragged = types.ModuleType("ragged")
exec(compile(RAGGED.read_text().replace("cache=True", "cache=False"), "ragged", "exec"), ragged.__dict__)
lengths = np.array([30, 12, 9, 21, 17], np.int32)
series = walk(3, lengths.sum())
found = ragged._fit_multi_var(series, lengths, int(lengths.max()), num_features=336, seed=5)
found = tuple(np.ascontiguousarray(v.astype(np.float32 if v.dtype.kind == "f" else np.int32)) for v in found)
keep("ragged", series, found, ragged._transform_multi_var(series, lengths, found))
out["ragged_lengths"] = lengths
np.savez_compressed(Path(__file__).with_name("minirocket.npz"), **out)
