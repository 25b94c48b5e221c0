"""Language: titles of real length in several languages, and what a catalogue of brand names must not say."""

from __future__ import annotations

import pytest

from ml.text.words.language import Detected, base_language, detect, recognised, sampled
from ml.text.words.scripts import main_script, scripts

ENGLISH = ["Cast iron pan", "Green tea, 50 bags", "Kettle with a steel lid", "The art of bread"]
GERMAN = ["Pfanne aus Gusseisen", "Grüner Tee im Beutel", "Wasserkocher mit Deckel", "Die Kunst des Brotes"]
FRENCH = ["Poêle en fonte", "Thé vert en sachets", "Bouilloire avec couvercle", "L'art du pain"]
RUSSIAN = ["Чугунная сковорода", "Зелёный чай в пакетиках", "Чайник с крышкой", "Искусство хлеба"]
UKRAINIAN = ["Чавунна сковорода", "Зелений чай у пакетиках", "Чайник із кришкою", "Мистецтво хліба"]
CHINESE = ["铸铁煎锅", "绿茶袋泡茶50包", "不锈钢电热水壶", "面包的艺术"]
BRANDED = ["Apple iPhone 15 Pro 手机壳", "NIKE 运动鞋", "Nescafé雀巢速溶咖啡", "索尼 WH-1000XM5 耳机"]
JAPANESE = ["鉄鍋", "緑茶ティーバッグ", "電気ケトル", "パンの芸術"]
KOREAN = ["무쇠 프라이팬", "녹차 티백", "전기 주전자", "빵의 예술"]


@pytest.mark.parametrize(
    "texts, language",
    [
        (ENGLISH, "en"),
        (GERMAN, "de"),
        (FRENCH, "fr"),
        (RUSSIAN, "ru"),
        (UKRAINIAN, "uk"),
        (CHINESE, "zh"),
        (BRANDED, "zh"),
        (JAPANESE, "ja"),
        (KOREAN, "ko"),
    ],
)
def test_short_titles_read_together_tell_their_language(texts, language):
    found = detect(texts * 10)
    assert found == Detected({language: 1.0}, 40)
    assert found.agrees(language)
    assert not found.agrees("pt")


def test_shares_count_texts():
    found = detect([*ENGLISH * 15, *CHINESE * 10, "123", "🙂", ""])
    assert found == Detected({"en": 0.6, "zh": 0.4}, 100)
    assert found.agrees("en")
    assert not found.agrees("zh")


@pytest.mark.parametrize("texts", [[], ["", "12 + 3"], ["NIKE", "IKEA KALAS"]])
def test_too_little_text_contradicts_nothing(texts):
    assert detect(texts) == Detected({}, 0)
    assert detect(texts).main is None
    assert detect(texts).agrees("fi")


def test_a_stray_kana_does_not_make_a_chinese_catalogue_japanese():
    assert detect(["鲜の每日牛奶", *CHINESE * 5]).shares == {"zh": 1.0}
    assert detect(["ラーメン", *CHINESE * 5]).main == "zh"


def test_regions_and_kin_agree():
    assert base_language("zh-Hant_TW") == "zh"
    assert detect(CHINESE).agrees("zh_TW")
    assert Detected({"id": 0.5, "ms": 0.4, "en": 0.1}, 50).agrees("ms")
    assert Detected({"no": 0.9, "sv": 0.1}, 50).agrees("nb")
    assert not Detected({"no": 0.9, "sv": 0.1}, 50).agrees("sv")


def test_a_language_that_cannot_be_recognised_is_not_contradicted():
    assert not recognised("tlh")
    assert all(recognised(code) for code in ("en", "zh-CN", "th", "nb"))
    assert detect(ENGLISH * 10).agrees("tlh")


def test_a_sample_is_spread_over_all_texts():
    texts = [str(i) for i in range(1001)]
    assert sampled(texts, 2000) == texts
    picked = sampled(texts, 100)
    assert (len(picked), picked[0], picked[-1]) == (91, "0", "990")
    assert sampled([], 5) == []


def test_scripts_by_hand():
    assert scripts("Tee 茶 чай テ々 ①") == {"LATIN": 3, "HAN": 2, "CYRILLIC": 3, "KANA": 1}
    assert main_script("Apple iPhone 15 手机壳保护") == "HAN"
    assert main_script("The art of 茶: a history of tea") == "LATIN"
    assert main_script("15 %") is None
