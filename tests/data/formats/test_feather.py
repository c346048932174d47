"""Arrow files as tables: file, stream, compressed, with dictionaries."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pyarrow import feather, ipc


@pytest.mark.parametrize("kind", ["file", "lz4", "stream"])
def test_arrow_files(same, frame, tmp_path, kind):
    table = pa.Table.from_pandas(frame.astype({"pump": "category"}), preserve_index=False)
    assert pa.types.is_dictionary(table.schema.field("pump").type)
    path = tmp_path / "a.arrow"
    if kind == "lz4":
        feather.write_feather(table, path, compression="lz4", chunksize=7)
    else:
        with (ipc.new_file if kind == "file" else ipc.new_stream)(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
    same(path)
