"""Rows on disk, in one format: folders of Arrow files, written by one process or many, read in pieces by any machine.

A finished folder holds ``manifest.json`` (what the data are, the shards with size and sha256, what the quality check
found; written last), ``index.npz`` (where every row lies, moments of every piece) and the shards: uncompressed Arrow
IPC files with a record batch a piece and the columns ``unit``, ``group`` (where the schema has one), ``time``,
``values`` and ``targets``, lists of float32. While it is written there is a folder ``.unfinished`` beside them.

A *job* is a part of the input that becomes one shard; a *piece* is some rows of a shard that are stored together.
``data.cache: false`` keeps a table as such a folder of one shard (``cache``); ``python -m keras_seq.data shard``
writes one of many, with a split (``run``); both are read by ``series``.
"""
