"""The rules of rows applied to a series: the order of time, doubled stamps, then the regular step."""

from __future__ import annotations

import dataclasses

import numpy as np

from keras_seq.config import DataConfig
from keras_seq.data.duplicates import Merged, merge_duplicates
from keras_seq.data.quality.clock import check_time
from keras_seq.data.resample import resample, settle_rules
from keras_seq.data.row_rules import RowRules
from keras_seq.data.series import Series
from keras_seq.data.time_order import in_time_order
from keras_seq.errors import ConfigError

NO_RULES = RowRules()


def rules_of(config: DataConfig) -> RowRules | None:
    """The rules that a configuration asks for; None: the usual ones."""
    rules = RowRules(sort=config.sort, duplicates=config.duplicates, resample=config.resample)
    return None if rules == NO_RULES else rules


def refuse_rules(config: DataConfig, what: str) -> None:
    """Refuse rules where rows are not in memory.

    Raises:
        ConfigError: names the option.
    """
    if rules_of(config) is not None:
        option = "data.duplicates" if config.duplicates != "error" else "data.sort" if config.sort else "data.resample"
        raise ConfigError(f"{option} needs the rows in memory, but {what}; leave it out, or mend the file before.")


def ruled(series: Series, rules: RowRules | None, *, learn: bool = False) -> Merged:
    """The rows that the rules make of a series.

    A series whose time is unknown, falls or still contradicts itself is left for the check to refuse.

    Args:
        series: rows by unit, in file order within.
        rules: of the configuration, or of the schema of a trained model; None: the usual ones.
        learn: training: the rules keep the calendar of these rows, and the schema keeps the rules.
    """
    rules = rules or NO_RULES
    if series.schema.time_column is None:
        merged = Merged(series, np.arange(len(series.values), dtype=np.int64))
    else:
        ordered = in_time_order(series, sort=rules.sort)
        merged = merge_duplicates(ordered.series, rules.duplicates)
        merged = Merged(merged.series, ordered.rows[merged.rows], (*ordered.remarks, *merged.remarks))
    if rules.resample.every is not None and not any(fault.severity == "error" for fault in check_time(merged.series)):
        rules = settle_rules(merged.series, rules)
        regular = resample(merged.series, rules)
        merged = Merged(regular.series, merged.rows[regular.rows], (*merged.remarks, *regular.remarks))
    if learn and rules != NO_RULES:
        schema = merged.series.schema.model_copy(update={"row_rules": rules})
        merged = dataclasses.replace(merged, series=dataclasses.replace(merged.series, schema=schema))
    if learn and merged.remarks:
        info = merged.series.info | {"row_remarks": list(merged.remarks)}
        merged = dataclasses.replace(merged, series=dataclasses.replace(merged.series, info=info))
    return merged
