"""The Chinese catalogue through cleaning, language, segmentation and keywords, with cases checked by hand."""

from __future__ import annotations

import pytest
from chinese_world import BOILERPLATE, NOUNS, TRADITIONAL_FORM, WRITTEN, catalogue, interactions
from scipy import sparse

from ml.text.cleaning.clean import clean
from ml.text.words.keywords import keywords, terms_of
from ml.text.words.language import detect
from ml.text.words.segment import words

ITEMS = catalogue()
DOMAINS, CAMPS = ("drinks", "kitchen"), ("tea", "coffee")


def test_the_catalogue_is_what_it_says():
    assert len(ITEMS) == len({item.title for item in ITEMS}) == 240
    assert len({item.written for item in ITEMS} & {item.title for item in ITEMS}) < 120


@pytest.mark.parametrize("form", range(len(WRITTEN)))
def test_every_way_of_writing_reads_as_the_title(form):
    read = {
        item.title: clean(item.written) for item in ITEMS if int(item.item_id[-2:]) % len(WRITTEN) == form
    }
    assert len(read) > 30
    assert read == {title: title for title in read}


def test_a_blurb_in_html_becomes_two_lines():
    assert clean(ITEMS[0].blurb) == f"龙井绿茶☕️,适合送礼&自用。\n{BOILERPLATE}"
    assert clean(ITEMS[0].blurb, emoji="drop").startswith("龙井绿茶 ,适合送礼&自用。")


@pytest.mark.parametrize(
    "title, expected",
    [
        ("八马 龙井绿茶 家用礼盒装 250g", "八马 龙井 绿茶 家用 礼盒装 250g"),
        ("Nescafé雀巢 柠檬红茶 办公室 100ml", "nescafé 雀巢 柠檬 红茶 办公室 100ml"),
        ("MUJI 意式咖啡机 便携 A5款", "muji 意式 咖啡机 便携 a5"),
        ("Lipton立顿 不锈钢茶漏 明前特级 (新款)", "lipton 立顿 不锈钢 茶漏 明前 特级 新款"),
        ("小米 陶瓷咖啡杯 2件套", "小米 陶瓷 咖啡杯"),
        ("苏泊尔 电动磨豆机 经典系列 No.7", "苏泊尔 电动 磨豆机 经典 系列"),
        ("蘇泊爾 玻璃蓋碗 家用禮盒裝", "蘇泊爾 玻璃 蓋碗 家用 禮盒裝"),
    ],
)
def test_a_title_segmented_by_hand(title, expected):
    assert " ".join(words(title, "zh")) == expected


def test_traditional_titles_are_cut_like_their_simplified_forms():
    traditional = [item for item in ITEMS if int(item.item_id[-2:]) % len(WRITTEN) == TRADITIONAL_FORM]
    assert {len(words(item.title, "zh")) for item in traditional} <= {3, 4, 5, 6, 7}
    assert "礼盒裝" in words("家用礼盒裝 250g", "zh")


@pytest.mark.parametrize("domain", DOMAINS)
def test_both_shops_read_as_chinese(domain):
    found = detect([clean(item.written) for item in ITEMS if item.domain == domain])
    assert (found.main, found.texts, found.agrees("zh-CN")) == ("zh", 120, True)
    assert not found.agrees("en")


@pytest.mark.parametrize("domain", DOMAINS)
def test_keywords_tell_tea_from_coffee_people(domain):
    items = [item for item in ITEMS if item.domain == domain]
    place = {item.item_id: i for i, item in enumerate(items)}
    log = [(user, place[item]) for where, user, item, _ in interactions() if where == domain]
    users = sorted({user for user, _ in log})
    rows = [users.index(user) for user, _ in log]
    history = sparse.csr_matrix(([1.0] * len(log), (rows, [item for _, item in log])))
    found = keywords(history, terms_of([item.title for item in items], "zh"), 10).to_pylist()
    tea, coffee = ({word for noun in NOUNS[domain, camp] for word in words(noun, "zh")} for camp in CAMPS)
    right = 0
    for user, told in zip(users, found, strict=True):
        balance = len(tea.difference(coffee).intersection(told)) - len(
            coffee.difference(tea).intersection(told)
        )
        right += balance > 0 if int(user[-3:]) % 2 else balance < 0
    assert right / len(users) > 0.9  # the rest took up one brand or pack more often than one kind
