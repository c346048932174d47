"""Known-ahead columns of a table: which are marked, how many steps ahead they are given, the names of their channels.

Column ``promo`` of a forecast of 3 steps becomes the channels ``promo``, ``promo+1``, ``promo+2`` and ``promo+3``;
``promo+2`` at a row tells of the second row after it.
"""

from __future__ import annotations

import re

import numpy as np

from keras_seq.config import DataConfig
from keras_seq.data.series import Schema
from keras_seq.errors import ConfigError, nearest

MOST_LEADS = 96  # channels of a column; of a longer horizon they stand at equal distances
CHANNEL = re.compile(r"(?P<name>.+)\+(?P<lead>[1-9]\d*)")

Leads = dict[str, tuple[int, ...]]  # steps ahead by name of the column


def channel(name: str, lead: int) -> str:
    """Name of the channel that tells of a column ``lead`` steps ahead."""
    return f"{name}+{lead}"


def planned(schema: Schema) -> Leads:
    """The columns of a model that a plan must give, with the steps ahead of their channels; maybe none."""
    features = set(schema.features)
    leads: dict[str, list[int]] = {}
    for column in schema.columns:
        match = CHANNEL.fullmatch(column.name) if column.known_ahead else None
        if match and match["name"] in features:
            leads.setdefault(match["name"], []).append(int(match["lead"]))
    return {name: tuple(sorted(steps)) for name, steps in leads.items()}


def channels(schema: Schema) -> frozenset[str]:
    """Names of the channels among the features of a model that tell of known-ahead columns."""
    return frozenset(channel(name, lead) for name, leads in planned(schema).items() for lead in leads)


def leads_of(config: DataConfig) -> tuple[int, ...]:
    """Steps ahead for which known-ahead columns are given: ``plan_leads``, or every step of the horizon.

    Of a horizon above 96 steps 96 are taken at equal distances, the first and the last among them. A window's earlier
    rows fill what lies between: the channel of lead k, j rows before the last, tells of step k - j.

    Raises:
        ConfigError: a lead is beyond the horizon.
    """
    horizon, leads = config.windows.horizon, config.covariates.plan_leads
    if leads is None:
        return tuple(np.unique(np.linspace(1, horizon, min(horizon, MOST_LEADS)).round().astype(int)).tolist())
    if leads and max(leads) > horizon:
        raise ConfigError(
            f"data.covariates.plan_leads={list(leads)} tells of {max(leads)} steps ahead, but the forecast ends after "
            f"data.windows.horizon={horizon}; leave out what is beyond it."
        )
    return tuple(sorted(set(leads)))


def marked(schema: Schema, config: DataConfig) -> Schema:
    """The schema of a table with the columns of ``data.known_ahead`` marked, as those of its schema file are.

    Raises:
        ConfigError: a column is no input, or a target; or there is no horizon for which it could be known; or the
            rows are not held in memory.
    """
    names = dict.fromkeys([*(column.name for column in schema.columns if column.known_ahead), *config.known_ahead])
    if not names:
        return schema
    first = next(iter(names))
    for name in names:
        if name in schema.targets:
            raise ConfigError(
                f"Column '{name}' is marked as known ahead ({_where(name, config)}) and is a target: what is to be "
                "forecast is not known before. Remove the mark, or choose other data.targets."
            )
        if name not in schema.features:
            raise ConfigError(
                f"data.known_ahead names '{name}', which is no input column of '{schema.name}'"
                f"{nearest(name, schema.features)}"
            )
    if schema.task != "forecast" or not config.windows.horizon:
        raise ConfigError(
            f"Column '{first}' is marked as known ahead ({_where(first, config)}), but the task is {schema.task} with "
            f"data.windows.horizon={config.windows.horizon}: only a forecast has later steps that a plan tells of. Set "
            "data.task forecast and data.windows.horizon to the steps ahead, or remove the mark."
        )
    if not config.cache or config.source == "shards":
        refuse_on_disk(first)
    leads_of(config)
    columns = tuple(
        column.model_copy(update={"known_ahead": True}) if column.name in names else column for column in schema.columns
    )
    return schema.model_copy(update={"columns": columns})


def refuse_on_disk(name: str) -> None:
    """Refuse a known-ahead column of rows that are read piece by piece.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(
        f"Column '{name}' is marked as known ahead; its channels are made in memory, so neither shards nor "
        "data.cache=false can hold them. Set data.cache=true and read the file itself, or remove the mark."
    )


def _where(name: str, config: DataConfig) -> str:
    return "data.known_ahead" if name in config.known_ahead else "known_ahead: true in its schema"
