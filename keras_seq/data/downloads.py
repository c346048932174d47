"""Where the files of the known sets can be had, and how to know that they arrived whole."""

from __future__ import annotations

from dataclasses import dataclass

_RAW = "https://raw.githubusercontent.com/"


@dataclass(frozen=True)
class Download:
    """One file of a set.

    Attributes:
        name: file name in the set's folder.
        url: where it is; a ``.gz`` that ``name`` has not is unpacked.
        sha256: of the file as it is kept (unpacked).
        size: its bytes.
    """

    name: str
    url: str
    sha256: str
    size: int


DOWNLOADS: dict[str, tuple[Download, ...]] = {
    "cmapss": (
        Download(
            "train_FD001.txt",
            _RAW + "oluies/tedsds/4c21824bc6b90efb30678a31ce2eab3f77964eda/data/train_FD001.txt.gz",
            "963b5e22825b34d8b21c69e1aeb4af3e647050eb672ee8834ba4b5d91d2de0f8",
            3515356,
        ),
        Download(
            "test_FD001.txt",
            _RAW + "oluies/tedsds/4c21824bc6b90efb30678a31ce2eab3f77964eda/data/test_FD001.txt.gz",
            "3cda7109ce17bafb5443f2ac926cfcf88154b941b8c4cf95eb55d1ddd6f52851",
            2228855,
        ),
        Download(
            "RUL_FD001.txt",
            _RAW + "oluies/tedsds/4c21824bc6b90efb30678a31ce2eab3f77964eda/data/RUL_FD001.txt.gz",
            "a19c8ec94931949d0485bdc35118206e9c81c4547b422efb9cf86f4ceddbceca",
            429,
        ),
        Download(
            "train_FD002.txt",
            _RAW + "oluies/tedsds/4c21824bc6b90efb30678a31ce2eab3f77964eda/data/train_FD002.txt.gz",
            "dac6c4dbc4e7c1bdeb5747da3d313d05c395bb99801b44a002b26a2ba13d788f",
            9082480,
        ),
        Download(
            "test_FD002.txt",
            _RAW + "oluies/tedsds/4c21824bc6b90efb30678a31ce2eab3f77964eda/data/test_FD002.txt.gz",
            "de7b5bf7e998a985c378488480528b7c02cff1406a46740def362dda8d9b4e02",
            5734587,
        ),
        Download(
            "RUL_FD002.txt",
            _RAW + "oluies/tedsds/4c21824bc6b90efb30678a31ce2eab3f77964eda/data/RUL_FD002.txt.gz",
            "c851dd96a6ea6998d3c4a8f834d3c8013aa90e93a6ed950dc826ad0655b2906b",
            1110,
        ),
        Download(
            "train_FD003.txt",
            _RAW + "oluies/tedsds/4c21824bc6b90efb30678a31ce2eab3f77964eda/data/train_FD003.txt.gz",
            "2abbe9968cc5e8eb091980f51b20f62bb4127336d3482cb52071d53bf23329e2",
            4213862,
        ),
        Download(
            "test_FD003.txt",
            _RAW + "oluies/tedsds/4c21824bc6b90efb30678a31ce2eab3f77964eda/data/test_FD003.txt.gz",
            "299babd63c8d987cef079c4a425429f33b3a34797d803bbe2ad48c29dbd0d790",
            2826651,
        ),
        Download(
            "RUL_FD003.txt",
            _RAW + "oluies/tedsds/4c21824bc6b90efb30678a31ce2eab3f77964eda/data/RUL_FD003.txt.gz",
            "df1e0566306b174a2de41c67a3e7a51877889598b78643fc3e5685259091b7cb",
            428,
        ),
        Download(
            "train_FD004.txt",
            _RAW + "oluies/tedsds/4c21824bc6b90efb30678a31ce2eab3f77964eda/data/train_FD004.txt.gz",
            "27ef6160b6a1dcb2613a88de9c239f763b223f02cdc41dc5cdedc5dc189b6218",
            10350705,
        ),
        Download(
            "test_FD004.txt",
            _RAW + "oluies/tedsds/4c21824bc6b90efb30678a31ce2eab3f77964eda/data/test_FD004.txt.gz",
            "1dc675fff0624bac10786927c6715b37d1297657137400d2b1a3138d777a3ba5",
            6957759,
        ),
        Download(
            "RUL_FD004.txt",
            _RAW + "oluies/tedsds/4c21824bc6b90efb30678a31ce2eab3f77964eda/data/RUL_FD004.txt.gz",
            "196b836b85a95ac7fdbbf29c5fdf1657382eafa445644d114ffaaf50dc2975e1",
            1084,
        ),
    ),
    "jvowels": (
        Download(
            "JapaneseVowels_TRAIN.ts",
            _RAW + "aeon-toolkit/aeon/main/aeon/datasets/data/JapaneseVowels/JapaneseVowels_TRAIN.ts",
            "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
            487971,
        ),
        Download(
            "JapaneseVowels_TEST.ts",
            _RAW + "aeon-toolkit/aeon/main/aeon/datasets/data/JapaneseVowels/JapaneseVowels_TEST.ts",
            "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
            649132,
        ),
    ),
    "gasoline": (
        Download(
            "us_gasoline.csv",
            _RAW + "unit8co/darts/a481a0e2a4dff0ac506a30c15e545bd7a19c1657/datasets/us_gasoline.csv",
            "88247f57ae77f26c56db50ee9c212860f70a2394ac1f75758a8cad56691b9be9",
            26373,
        ),
    ),
    "ett": (
        Download(
            "ETTh1.csv",
            _RAW + "zhouhaoyi/ETDataset/main/ETT-small/ETTh1.csv",
            "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
            2589657,
        ),
    ),
    "market": (
        Download(
            "sp500.csv",
            _RAW + "bashtage/arch/8ec3620a7e322dcbb3bdbfe5f5ebeda30965c818/arch/data/sp500/sp500.csv.gz",
            "1c4d0aeed8db9284de8ad71e4063c97f645ad6dd13507f8e305338e96c396ba7",
            400462,
        ),
        Download(
            "nasdaq.csv",
            _RAW + "bashtage/arch/f78f7cef0a6ea5f62ac9f6bd0dc187dc5a3ba676/arch/data/nasdaq/nasdaq.csv.gz",
            "799ab0bf4a29129f23c27743098215c4033c139ff76dc935a1cd53d1aea9997e",
            403487,
        ),
        Download(
            "vix.csv",
            _RAW + "bashtage/arch/f78f7cef0a6ea5f62ac9f6bd0dc187dc5a3ba676/arch/data/vix/vix.csv.gz",
            "6426bbfd29e017bf33d95e25e69cded4c9686b736466100b0fa4703814f78731",
            21756,
        ),
        Download(
            "wti.csv",
            _RAW + "bashtage/arch/f78f7cef0a6ea5f62ac9f6bd0dc187dc5a3ba676/arch/data/wti/wti.csv.gz",
            "7da09a03f7bb5bff9d029c1b642eca14f195940379ad8a83305277175b88c3d6",
            144215,
        ),
    ),
}
