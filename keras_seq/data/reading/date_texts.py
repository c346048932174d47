"""Dates as logs and people write them: brought to what ``strptime`` reads, and formats that nobody else guesses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_COMMA_SECONDS = r":\d{2},\d"  # 13:55:36,123
_HALF_DAY = r"(?i)[\d\s][ap]\.?\s?m(?:\.|\b)"  # pm, p.m., p. m.
_HALF_DAY_PARTS = r"(?i)([\d\s])([ap])\.?\s?m(?:\.|\b)"
ANY = "separators: "  # before a format whose slashes may be dashes or points from row to row
DAY_PARTS = r"^(\d{1,2})[-./](\d{1,2})[-./](\d{4})"
_BRACKETS = r"^\[.*\]$"
_TIMES = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f")
_HAN_TIMES = ("", *(f"{gap}{clock}" for gap in ("", " ") for clock in ("%H:%M", "%H:%M:%S", "%H时%M分", "%H時%M分",
              "%H时%M分%S秒", "%H時%M分%S秒", "%H时", "%H時")))  # fmt: skip
_FURTHER = (
    (re.compile(r"\d{1,2}/[A-Za-z]{3}/\d{4}:"), ("%d/%b/%Y:%H:%M:%S %z", "%d/%b/%Y:%H:%M:%S")),
    (re.compile(r"\d\d([-./])\d\d\1\d\dT"), tuple(f"%y{{1}}%m{{1}}%dT{clock}" for clock in _TIMES)),
    (re.compile(r"\d{4}([-/])\d{1,2}$"), ("%Y{1}%m",)),
    (re.compile(r"\d{4}年\d{1,2}月"), ("%Y年%m月", *(f"%Y年%m月%d日{clock}" for clock in _HAN_TIMES))),
    (
        re.compile(r"\d{4}년 ?\d{1,2}월"),
        ("%Y년 %m월", *(f"%Y년 %m월 %d일{clock}" for clock in ("", " %H:%M", " %H시 %M분"))),
    ),
    (
        re.compile(r"\d{4}-\d\d-\d\d_\d"),
        tuple(f"%Y-%m-%d_{clock}" for clock in (*_TIMES, "%H-%M-%S", "%H-%M", "%H%M%S")),
    ),
    (
        re.compile(r"\d{4}-\d\d-\d\d[- ]\d\d-\d\d"),
        tuple(f"%Y-%m-%d{gap}%H-%M{rest}" for gap in "- " for rest in ("", "-%S")),
    ),
    (re.compile(r"\d{8}[_-]\d{4}"), tuple(f"%Y%m%d{gap}%H%M{rest}" for gap in "_-" for rest in ("", "%S"))),
)


def plain_dates(texts: pd.Series, date_format: str = "") -> pd.Series:
    """Texts with a point before parts of seconds, ``AM`` and ``PM``, and without brackets around them.

    Args:
        texts: pandas series of texts, missing ones among them.
        date_format: of the user, which may have such a comma itself.
    """
    if texts.str.contains(_HALF_DAY, na=False).any():
        texts = texts.str.replace(_HALF_DAY_PARTS, _half_day, regex=True)
    if ",%f" not in date_format and texts.str.contains(_COMMA_SECONDS, na=False).any():
        texts = texts.str.replace(r"(:\d{2}),(\d)", r"\1.\2", regex=True)
    return texts.str.strip("[]") if texts.iloc[:1].str.contains(_BRACKETS, na=False).any() else texts


def plain_date(text: str, date_format: str) -> tuple[str, str]:
    """One text, and the format by which ``strptime`` reads it; as ``plain_dates``, for rows that come one by one."""
    text = text.strip()
    if "%p" in date_format:
        text = re.sub(_HALF_DAY_PARTS, _half_day, text)
    if "," in text and ",%f" not in date_format:
        text = re.sub(r"(:\d{2}),(\d)", r"\1.\2", text)
    if ".%f" in date_format and "." not in text[-10:]:  # pandas takes whole seconds, too
        date_format = date_format.replace(".%f", "")
    if date_format.startswith(ANY):
        text, date_format = re.sub(DAY_PARTS, r"\1/\2/\3", text), date_format.removeprefix(ANY)
    return (text.strip("[]") if text[:1] == "[" else text), date_format


def _half_day(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2].upper()}M"


def further_formats(texts: list[str]) -> list[str]:
    """Formats that the first text looks like and pandas does not guess: of logs, of names of files, in Chinese."""
    for pattern, formats in _FURTHER if texts else ():
        if found := pattern.match(texts[0]):
            return [date_format.replace("{1}", found[1] if found.groups() else "") for date_format in formats]
    return []


def with_comma(date_format: str | None, texts: pd.Series) -> str | None:
    """A format in which texts are written, of which their plain ones have ``date_format``."""
    if date_format is None or ".%f" not in date_format:
        return date_format
    commas = texts.iloc[:20].str.contains(_COMMA_SECONDS, na=False).any()
    return date_format.replace(".%f", ",%f") if commas else date_format
