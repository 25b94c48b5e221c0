"""Words: cases checked by hand in several scripts, and what holds for any text at all."""

from __future__ import annotations

import tempfile
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.text.words import segment as module
from ml.text.words.segment import separator, stop_words, words
from ml.text.words.traditional import _PAIRS, simplified


@pytest.mark.parametrize(
    "language, text, expected",
    [
        ("zh", "铸铁煎锅二十八厘米不粘锅家用", "铸铁 煎锅 不粘锅 家用"),
        ("zh", "龙井绿茶明前特级礼盒装", "龙井 绿茶 明前 特级 礼盒装"),
        ("zh", "小米手机壳 iPhone15Pro 保护套 3件套", "小米 手机 壳 iphone15pro 保护套"),
        ("zh", "真无线TWS蓝牙5.3耳机", "真 无线 tws 蓝牙 耳机"),
        ("zh", "T恤衫男 100%纯棉", "t恤衫 男 纯棉"),
        ("zh", "我们的茶和他们的咖啡", "茶 咖啡"),
        ("zh", "café咖啡豆 for the home", "café 咖啡豆"),
        ("zh-TW", "保溫杯不鏽鋼真空500毫升", "保溫杯 不鏽鋼 真空"),
        ("zh-Hant", "鑄鐵平底鍋家用", "鑄鐵 平底鍋 家用"),
        ("zh", "1️⃣ 号☕️咖啡❤️", "咖啡"),
        ("ja", "日本の鉄鍋とフライパン 28cm", "日本 鉄鍋 フライパン 28cm"),
        ("ko", "한국어 전기 주전자", "한국어 전기 주전자"),
        ("hi", "हिन्दी किताब की दुकान", "हिन्दी किताब दुकान"),
        ("ru", "Чугунная сковорода с крышкой Le Creuset", "чугунная сковорода крышкой le creuset"),
        ("en", "The art of bread, 2nd edition (3,000 recipes)", "art bread 2nd edition recipes"),
        ("en", "Women's USB-C 3.5mm T-shirt", "women's usb 3.5mm shirt"),
        ("fr", "Théière d’hiver de l'artisan", "théière hiver artisan"),
        ("de", "Die Pfanne ist aus Gusseisen und war schwer", "pfanne gusseisen schwer"),
        ("xx", "the quick fox", "the quick fox"),
        ("en", "", ""),
        ("zh", "123 ①②③ ... 🙂", ""),
    ],
)
def test_a_text_by_hand(language, text, expected):
    found = words(unicodedata.normalize("NFKC", text), language)
    assert " ".join(found) == unicodedata.normalize("NFKC", expected)


def test_an_english_stop_word_is_a_german_word():
    assert "die" in stop_words("de")
    assert "the" in stop_words("zh")
    assert "the" not in stop_words("de")


@pytest.mark.parametrize("language", ["zh", "en", "ja", "fr", "th"])
@given(text=st.text(max_size=60))
def test_words_come_from_the_text_and_say_something(language, text):
    clean = unicodedata.normalize("NFKC", text)
    for word in words(clean, language):
        assert word in clean.lower()
        assert word not in stop_words(language)
        assert any(character.isalpha() for character in word)


def test_the_segmenter_writes_no_cache_and_says_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    module._segmenter.cache_clear()
    assert words("西湖龙井", "zh") == ["西湖", "龙井"]
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_line_of_keywords_has_the_comma_of_its_language():
    assert (separator("zh-CN"), separator("en")) == ("、", ", ")


def _in(encoding: str, character: str) -> bool:
    try:
        return bool(character.encode(encoding))
    except UnicodeEncodeError:
        return False


def test_every_pair_is_traditional_and_simplified():
    """The character sets of Hong Kong and of mainland China tell them apart: an independent reference."""
    pairs = _PAIRS.split()
    assert len({pair[0] for pair in pairs}) == len(pairs)
    for traditional, simple in pairs:
        assert _in("big5hkscs", traditional), traditional
        assert not _in("gb2312", traditional), traditional
        assert _in("gb2312", simple), simple
        assert simplified(simple) == simple
    assert simplified("不鏽鋼鍋 28cm") == "不锈钢锅 28cm"
