# ruff: noqa: RUF001 - letters of many scripts are what this file is about
"""Code page of bytes that are not UTF-8, told from the letters that each candidate makes of them.

Statistical detectors want pages of text; a table has a header and some words. So every code page is judged by what its
words would be: letters of one alphabet for those of the Latin script, whole words of Cyrillic or Greek letters without
capitals in their middle, common characters for those of East Asia. The first of the best is taken.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

MOST_WORDS = 2000  # looked at
USUAL = "cp1252"
USUAL_BONUS = 0.2  # of the usual one, against alphabets that fit by chance
LEAST = 0.5  # score from which another page than the usual one is believed
_WORD = re.compile(r"[^\W_]*[^\x00-\x7f][^\s,;|\t\"'()\[\]{}/\\=:<>*+&#!?.@~^`$%-]*")
_TRAILING = "°²³µ®™€…’‘“”„»«–—·ºª½¼¾±×¹£§ \u00a0"
_WEST = {
    "fr": "àâçéèêëîïôûùüÿ",
    "de": "äöüß",
    "es": "áéíóúñü",
    "pt": "áéíóúâêôçàãõ",
    "it": "àèéìòùî",
    "nordic": "åäöæøé",
    "nl": "ëïéèöüá",
    "is": "áðéíóúýþæö",
}
_LESS = {"is": 0.75}  # its letters are Turkish ones in another page
_ALPHABETS = {
    "west": _WEST,
    "centre": {
        "pl": "ąćęłńóśźż",
        "cs": "áčďéěíňóřšťúůýž",
        "sk": "áäčďéíĺľňóôŕšťúýž",
        "hu": "áéíóöőúüű",
        "ro": "ăâîşţșț",
        "hr": "čćđšž",
        "de": "äöüß",
    },
    "turkish": {"tr": "çğıiöşüâ"},
    "baltic": {"lt": "ąčęėįšųūž", "lv": "āčēģīķļņōŗšūž", "et": "äöüõšž"},
}
_RARE = re.compile(r"œ(?![ui])|[ãõ](?![oe]|$)|ç(?![aouáâãàóôõ])")  # where French and Portuguese do not write them
_BREAKS = re.compile("[’–—…«»\u00a0±×]")
_CYRILLIC = "оеаинтсрвлкмдпу"
_GREEK = "αοιετσνηυρπκμλς"
_HAN = (
    "日期时间温度湿压力流量电功率速转状态正常故障异报警设备编号名称单位数值序类型备注年月份周时"
    "分秒高低最大小平均开关停机运行合计"
    "总产品生线水位风向雨气浓质长宽重用站点传感器输入出口进里上下左右一二三四五六七八九十是否有"
    "无的在和不人中地区城市省国东西南北海"
    "价格销售额金收盘成交店商客户订库存负荷能耗光照氧氮度率指标实测预设定阀泵炉车间班组工序次"
)
_HAN_TRADITIONAL = (
    "日期時間溫度濕壓力流量電功率速轉狀態正常故障異報警設備編號名稱單位數值序類型備註年月份週分秒高低最大小平"
    "均開關停機運行合計總產品生線"
    "水位風向雨氣濃質長寬重用站點傳感器輸入出口進裡上下左右一二三四五六七八九十是否有無的在和不"
    "人中地區城市國東西南北海價格銷售額金收盤成交"
    "店商客戶訂庫存負荷能光氧度率標實測預設定閥泵爐車間班組工序次"
)
_JAPANESE = (
    "日付時刻間温湿度圧力流量電気水速回転状態正常異警報番号名称単位値平均最大小高低年月分秒運停"
    "止合計線装置設備機械品質工場実測外内"
)
_HANGUL = (
    "날짜시간온도습압력유량전류상태정이고장경보설비번호름값단위합계년월일분초최대소평균운가동기"
    "지속센서명코드구제품생산공용수기사아자하는"
)


@dataclass(frozen=True)
class _Page:
    """A code page: its name for Python, and how plausible words are in it ``[0, 1]``."""

    name: str
    score: Callable[[list[str]], float]


def guess_code_page(head: bytes) -> tuple[str, list[str]]:
    """The likeliest code page of bytes, and some words of them that it makes."""
    best, words, top = USUAL, _words(head, USUAL), -1.0
    for page in _PAGES if words != [] else ():  # signs alone, such as degrees
        found = _words(head, page.name)
        if found is None:
            continue
        score = page.score(found) + USUAL_BONUS * (page.name == USUAL) if found else 0.0
        if score > top + 1e-9 and (page.name == USUAL or score >= LEAST):
            best, words, top = page.name, found, score
    return best, (words or [])[:3]


def _words(head: bytes, name: str) -> list[str] | None:
    """Different words with letters that are no ASCII; None where the bytes are not of this page."""
    try:
        text = codecs.getincrementaldecoder(name)().decode(head)
    except UnicodeDecodeError:
        return None
    text = _BREAKS.sub(" ", text)
    found = dict.fromkeys(one[0].strip(_TRAILING) for one in _WORD.finditer(text))
    return [word for word in found if not word.isascii() and any(map(str.isalpha, word))][:MOST_WORDS]


def _latin(kind: str) -> Callable[[list[str]], float]:
    alphabets = {name: frozenset(letters) for name, letters in _ALPHABETS[kind].items()}

    def score(words: list[str]) -> float:
        hits = dict.fromkeys(alphabets, 0.0)
        some = 0.0
        for word in words:
            own = {char for char in word.lower() if ord(char) > 127}
            if not _is_word(word) or (kind == "west" and _RARE.search(word.lower())):
                continue
            weights = {name: _LESS.get(name, 1.0) for name, letters in alphabets.items() if own <= letters}
            for name, weight in weights.items():
                hits[name] += weight
            some += max(weights.values(), default=0.0)
        return (some + max(hits.values())) / (2 * len(words))

    return score


def _is_word(word: str) -> bool:
    """Whether a word is of letters alone, some of them ASCII, without other capitals after small letters."""
    plain = re.sub(r"\d", "", word)
    ascii_letters = any(char.isascii() for char in plain)
    if not (ascii_letters or len(plain) == 1) or any(not char.isalpha() for char in plain if not char.isascii()):
        return False
    return not any(one.islower() and two.isupper() and not two.isascii() for one, two in pairwise(plain))


def _one_script(script: str, common: str) -> Callable[[list[str]], float]:
    letters = frozenset(common)

    def score(words: list[str]) -> float:
        whole = seen = known = 0
        for word in words:
            own = [char for char in word if char.isalpha()]
            foreign = any(not unicodedata.name(char, "").startswith(script) for char in own)
            lower = "".join(own[1:])
            cased = lower.islower() or "".join(own).isupper() or not lower
            whole += bool(own) and not foreign and cased and all(map(_usual, word))
            seen += len(own)
            known += sum(char in letters for char in word.lower())
        return 0.7 * whole / len(words) + 0.3 * min(1.0, 1.3 * known / max(1, seen))

    return score


def _usual(char: str) -> bool:
    return char.isalnum() or char in "-_№°²³µ "


def _characters(common: Iterable[str], *, first: int, last: int, name: str, kana: bool = False) -> Callable[..., float]:
    """Scores by characters: in the range of lead bytes of frequent ones, and among the common ones of tables."""
    letters = frozenset(common)

    def score(words: list[str]) -> float:
        frequent = known = total = 0.0
        for word in words:
            glued = re.search(r"[a-z][^\x00-\x7f][a-z]", word) is not None  # one in the middle of a Latin word
            for char in word:
                if ord(char) < 128:
                    continue
                total += 1
                lead = char.encode(name, "replace")
                full = len(lead) == 2 and first <= lead[0] <= last
                is_kana = kana and "\u3040" <= char <= "\u30ff"
                half = kana and "\uff66" <= char <= "\uff9f"
                mark = char in "（）：，、。％℃·〜～・ー"
                frequent += 0 if glued else 1 if (full and not _syllabary(char)) or is_kana or mark else 0.4 * half
                known += 0 if glued else char in letters or is_kana or mark
        return 0.6 * frequent / max(1.0, total) + 0.4 * min(1.0, 1.3 * known / max(1.0, total))

    return score


def _syllabary(char: str) -> bool:
    """Kana, Greek and Cyrillic letters, which East Asian pages hold too, in words of another language."""
    return "\u0370" <= char <= "\u052f" or "\u3040" <= char <= "\u30ff"


_PAGES = (
    _Page(USUAL, _latin("west")),
    _Page("cp1250", _latin("centre")),
    _Page("iso8859_2", _latin("centre")),
    _Page("cp1251", _one_script("CYRILLIC", _CYRILLIC)),
    _Page("gb18030", _characters(_HAN, first=0xB0, last=0xD7, name="gb18030")),
    _Page("cp932", _characters(_JAPANESE, first=0x88, last=0x98, name="cp932", kana=True)),
    _Page("big5", _characters(_HAN_TRADITIONAL, first=0xA4, last=0xC6, name="big5")),
    _Page("cp949", _characters(_HANGUL, first=0xB0, last=0xC8, name="cp949")),
    _Page("euc_jp", _characters(_JAPANESE, first=0xB0, last=0xCF, name="euc_jp", kana=True)),
    _Page("koi8_r", _one_script("CYRILLIC", _CYRILLIC)),
    _Page("cp866", _one_script("CYRILLIC", _CYRILLIC)),
    _Page("cp1253", _one_script("GREEK", _GREEK)),
    _Page("cp1254", _latin("turkish")),
    _Page("cp1257", _latin("baltic")),
    _Page("cp850", _latin("west")),
    _Page("mac_roman", _latin("west")),
)
