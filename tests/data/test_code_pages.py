# ruff: noqa: RUF001 - letters of many scripts
"""Files in code pages of other countries: the page is told from the letters that it makes, and kept in the schema."""

from __future__ import annotations

import pandas as pd
import pytest

from keras_seq.config import DataConfig
from keras_seq.data.reading.by_schema import read_by_schema
from keras_seq.data.reading.code_pages import guess_code_page
from keras_seq.data.reading.settle import settle_table
from keras_seq.data.sources import load_series

ROWS = "".join(f"{i},{i}.5\n" for i in range(20))
FILES = {
    "gb18030": ["日期,温度", "序号,瞬时流量(m³/h)", "名称,数量\n苹果,1\n香蕉,2"],
    "cp932": ["日付,温度", "タイムスタンプ,回転数", "時刻,センサー"],
    "big5": ["日期,溫度", "測站,風速"],
    "cp949": ["날짜,온도", "측정일,지점명\n서울,1\n부산,2"],
    "cp1251": ["Дата,Температура", "ДАТА,ДАВЛЕНИЕ", "дата,темп. °C", "Дата,Вологість"],
    "koi8_r": ["Дата,Температура"],
    "cp866": ["Дата,Температура"],
    "cp1253": ["ημερομηνία,τιμή"],
    "cp1250": ["data,napięcie,prędkość", "čas,příkon,měřeno", "dátum,hőmérséklet", "vrijeme,težina,količina"],
    "iso8859_2": ["data,napięcie,prędkość"],
    "cp1254": ["Tarih,Sıcaklık,Değer"],
    "cp1257": ["laiks,ātrums,vērtība"],
    "cp1252": ["Größe,Müdigkeit", "Année,Débit (m³/s)", "Fecha,Presión", "Data,Pressão,Vazão", "Dato,Køretøj,Vægt",
               "dagsetning,hraði,hæð,þrýstingur",
               "city,n\nMálaga,1\nKøbenhavn,2\nZürich,3\nGenève,4\nÅrhus,5", "temp °C,n", "Preis €,it’s"],
    "cp850": ["Straße,Höhe"],
    "mac_roman": ["Année,Débit,Qualité"],
}  # fmt: skip


@pytest.mark.parametrize(("page", "header"), [(page, header) for page, all_ in FILES.items() for header in all_])
def test_the_page_that_makes_words_is_taken(page, header):
    content = f"{header}\n{ROWS}".encode(page)
    guessed, _ = guess_code_page(content)
    assert content.decode(guessed) == f"{header}\n{ROWS}"


@pytest.mark.parametrize(("page", "names", "words"), [
    ("gbk", ("日期", "温度", "状态"), ("正常", "故障")),
    ("cp1251", ("Дата", "Температура", "Состояние"), ("норма", "отказ")),
    ("shift_jis", ("日付", "温度", "状態"), ("正常", "異常")),
    ("cp1250", ("data", "napięcie", "stan"), ("średni", "żółty")),
])  # fmt: skip
def test_names_and_words_are_those_of_the_file_at_training_and_prediction(tmp_path, page, names, words):
    time, number, word = names
    days = pd.date_range("2024-01-01", periods=30).strftime("%Y-%m-%d")
    frame = pd.DataFrame({time: days, number: range(30), word: [words[i % 2] for i in range(30)]})
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False, encoding=page)
    config = DataConfig(source="table", path=str(path), time=time, task="forecast", targets=(number,))
    remark = settle_table(path, config).remarks[0]
    assert f"'{names[1]}'" in remark and "data.encoding says another" in remark
    schema = load_series(config).schema
    assert schema.features == (number, word) and set(words) <= set(schema.vocabularies[word])
    frame[:3].to_csv(tmp_path / "new.csv", index=False, encoding=page)
    assert read_by_schema(tmp_path / "new.csv", schema)[number].tolist() == [0, 1, 2]
