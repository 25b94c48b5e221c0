"""A Chinese world of our own making: two shops, tea and coffee people, and texts as shops write them.

`drinks` sells tea and coffee, `kitchen` what they are made with. Each of the 240 items has a clean title and
the one that the shop wrote: in HTML, with entities, full-width letters, old characters, invisible ones.
A user likes tea or coffee, in both shops: what is known in one tells what to show in the other.
"""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from tiny_bert import save_tiny_bert

# (domain, camp): what is sold. Brands and packs go round, so that no two items are alike.
_TEA = "龙井绿茶 普洱熟茶 铁观音乌龙茶 茉莉花茶 正山小种红茶 白毫银针白茶 菊花茶 大麦茶 抹茶粉 柠檬红茶"
_COFFEE = (
    "蓝山咖啡豆 挂耳咖啡 速溶黑咖啡 意式拼配咖啡豆 冷萃咖啡液 "
    "拿铁咖啡 卡布奇诺咖啡 低因咖啡粉 胶囊咖啡 耶加雪菲咖啡豆"
)
_FOR_TEA = "紫砂茶壶 玻璃盖碗 功夫茶具 陶瓷茶杯 泡茶保温杯 竹制茶盘 煮茶器 茶叶罐 公道茶杯 不锈钢茶漏"
_FOR_COFFEE = (
    "意式咖啡机 手冲咖啡壶 电动磨豆机 法压咖啡壶 咖啡滤纸 "
    "咖啡奶泡机 陶瓷咖啡杯 摩卡咖啡壶 咖啡冷萃壶 咖啡电子秤"
)
NOUNS = {
    ("drinks", "tea"): _TEA.split(),
    ("drinks", "coffee"): _COFFEE.split(),
    ("kitchen", "tea"): _FOR_TEA.split(),
    ("kitchen", "coffee"): _FOR_COFFEE.split(),
}
BRANDS = ("八马", "Lipton立顿", "小米", "Nescafé雀巢", "苏泊尔", "MUJI")
PACKS = ("家用礼盒装 250g", "2件套", "明前特级 (新款)", "办公室 100ml", "便携 A5款", "经典系列 No.7")
BOILERPLATE = "本店所有商品均为正品,支持七天无理由退换货。"
_TRADITIONAL = str.maketrans(
    "龙绿观乌龙红银抹茶柠意蓝豆陶瓷壶杯竹制盘叶罐锈钢电动机滤纸马苏尔装两级办公",
    "龍綠觀烏龍紅銀抹茶檸意藍豆陶瓷壺杯竹製盤葉罐鏽鋼電動機濾紙馬蘇爾裝兩級辦公",
)
_FULL_WIDTH = str.maketrans({chr(c): chr(c + 0xFEE0) for c in range(0x21, 0x7F)} | {" ": "\u3000"})


def _html(title: str) -> str:
    return f"<p><b>{title}</b></p>\n<script>var a = '免费';</script><!-- 新品 -->"


def _entities(title: str) -> str:
    return title.replace(" ", "&nbsp;").replace("(", "&#40;").replace(")", "&#x29;") + "&#8203;"


def _invisible(title: str) -> str:
    return "\ufeff" + "\u200b".join(title[:4]) + title[4:] + "\u00ad\x07"


# How the shop writes a title, by the item's number; all but the traditional one read as the title itself.
WRITTEN: tuple[Callable[[str], str], ...] = (
    lambda title: title,
    _html,
    _entities,
    lambda title: title.translate(_FULL_WIDTH),
    lambda title: title.translate(_TRADITIONAL),
    lambda title: f"  {title}\t\r\n ",
    _invisible,
)
TRADITIONAL_FORM = 4


@dataclass(frozen=True)
class Item:
    """written: as it stands in the file. title: what a reader of the page sees (NFKC)."""

    domain: str
    camp: str
    item_id: str
    title: str
    written: str
    blurb: str


def catalogue() -> list[Item]:
    """240 items, 60 of each domain and camp."""
    items = []
    for (domain, camp), nouns in NOUNS.items():
        for number in range(60):
            noun = nouns[number % 10]
            shift = number // 10
            title = f"{BRANDS[number % 6]} {noun} {PACKS[(number + shift) % 6]}"
            form = number % len(WRITTEN)
            title = title.translate(_TRADITIONAL) if form == TRADITIONAL_FORM else title
            blurb = f"<div>{noun}☕️,适合送礼&amp;自用。<br/>{BOILERPLATE}</div>"
            read = unicodedata.normalize("NFKC", title)
            items.append(
                Item(domain, camp, f"{domain}-{camp}-{number:02d}", read, WRITTEN[form](title), blurb)
            )
    return items


def interactions(users: int = 360, seed: int = 5) -> list[tuple[str, str, str, datetime]]:
    """(domain, user, item, time): eight of ten choices are of the user's camp; a third know one shop only."""
    random, start = np.random.default_rng(seed), datetime(2026, 1, 1, tzinfo=UTC)
    camps = {key: [i.item_id for i in catalogue() if (i.domain, i.camp) == key] for key in NOUNS}
    rows = []
    for user in range(users):
        liked, other = ("tea", "coffee") if user % 2 else ("coffee", "tea")
        known = (("drinks", "kitchen"), ("drinks", "kitchen"), ("drinks",))[user // 2 % 3]
        for domain in known:
            chosen = [
                *random.choice(camps[domain, liked], 8, False),
                *random.choice(camps[domain, other], 2, False),
            ]
            for item in chosen:
                time = start + timedelta(minutes=int(random.integers(0, 58 * 24 * 60)))
                rows.append((domain, f"用户{user:03d}", str(item), time))
    return rows


def write_files(folder: Path) -> dict[str, object]:
    """The landing files of both shops below `folder`; returns `calendar` and `domains` to configure."""
    folder.mkdir(parents=True, exist_ok=True)
    log, items, domains = interactions(), catalogue(), {}
    for domain in ("drinks", "kitchen"):
        with (folder / f"{domain}.csv").open("w", encoding="gb18030", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["用户", "商品", "时间"])
            writer.writerows((u, i, t.isoformat()) for d, u, i, t in log if d == domain)
        lines = [
            json.dumps({"商品": i.item_id, "标题": i.written, "描述": i.blurb}, ensure_ascii=False)
            for i in items
            if i.domain == domain
        ]
        (folder / f"{domain}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        domains[domain] = {
            "language": "zh",
            "events": {
                "path": f"{domain}.csv", "format": "csv", "encoding": "gb18030",
                "columns": {"user": "用户", "item": "商品", "time": "时间"},
            },
            "items": {
                "path": f"{domain}.jsonl", "format": "jsonl",
                "columns": {"item": "商品", "text": ["标题", "描述"]},
            },
        }  # fmt: skip
    return {"calendar": {"grain": "month", "start": "2026-01-01", "end": "2026-03-01"}, "domains": domains}


def tiny_chinese_bert(folder: Path) -> Path:
    """A BERT that reads Chinese: one token a character; random weights, seeded."""
    seen = {c for item in catalogue() for c in unicodedata.normalize("NFKC", item.title + item.blurb).lower()}
    characters = sorted(c for c in seen if not c.isspace())
    ascii_ = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = [*dict.fromkeys([*characters, *ascii_]), *(f"##{c}" for c in ascii_)]
    save_tiny_bert(folder, words, width=48, layers=1, tokens=64)
    return folder
