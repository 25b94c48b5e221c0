"""Documents by hand: templates, real boilerplate, and what gives way where the encoder reads no further."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.text.cleaning.boilerplate import find_boilerplate, sentences, without_boilerplate
from ml.text.cleaning.documents import DocumentBuilder
from ml.text.cleaning.fit import cut, estimated_tokens, fair_shares, fit
from ml.text.cleaning.template import Template

COLUMNS = ["title", "brand", "description"]
SLOGAN = "Free shipping on all orders today!"
words = st.text("ab铁. ", max_size=60)


@pytest.mark.parametrize(
    "template,texts,document",
    [
        ("{title} | {brand} | {category}", ("Pan", "Acme", "Kitchen"), "Pan | Acme | Kitchen"),
        ("{title} | {brand} | {category}", ("Pan", "", "Kitchen"), "Pan | Kitchen"),
        ("{title} | {brand} | {category}", ("", "Acme", ""), "Acme"),
        ("{title} | {brand} | {category}", ("", "", ""), ""),
        ("{title} ({brand}), {category}.", ("Pan", "Acme", "Kitchen"), "Pan (Acme), Kitchen."),
        ("{title} ({brand}), {category}.", ("Pan", "", "Kitchen"), "Pan, Kitchen."),
        ("{title} ({brand}), {category}.", ("Pan", "Acme", ""), "Pan (Acme)."),
        ("Name: {title}; by {brand}", ("", "Acme", ""), "by Acme"),
        ("{{raw}} {title}", ("Pan", "", ""), "{raw} Pan"),
    ],
)
def test_an_empty_column_takes_its_separator_along(template: str, texts: tuple, document: str) -> None:
    values = dict(zip(["title", "brand", "category"], texts, strict=True))
    assert Template(template).render(values) == document


def test_without_a_template_columns_stand_on_lines() -> None:
    builder = DocumentBuilder(COLUMNS)
    (made,) = builder.build([("<b>Pan</b>", None, "Iron.\nHeavy &amp; good")])
    assert (made.title, made.text) == ("Pan", "Pan\nIron. Heavy & good")
    assert made.text_hash == hashlib.sha256(made.text.encode()).hexdigest()


def test_without_text_there_is_no_document_and_without_title_the_next_column_is_shown() -> None:
    builder = DocumentBuilder(COLUMNS, emoji="drop")
    nothing, emoji, untitled = builder.build(
        [(None, "", " "), ("\U0001f525", "<p></p>", None), (None, "Acme", "x")]
    )
    assert nothing == emoji
    assert (nothing.title, nothing.text, nothing.text_hash) == (None, None, None)
    assert (untitled.title, untitled.text) == ("Acme", "Acme\nx")
    assert (builder.tally.items, builder.tally.with_text) == (3, 1)
    assert DocumentBuilder([]).build([()])[0] == nothing


def test_a_row_of_other_columns_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2 texts for the columns \['title', 'brand', 'description'\]"):
        DocumentBuilder(COLUMNS).build([("a", "b")])


def items(n: int, sharing: int) -> list[tuple[str, str, str]]:
    return [(SLOGAN, "Acme", f"Item {i} of iron. {SLOGAN if i < sharing else ''} Ends.") for i in range(n)]


def test_boilerplate_is_cut_but_never_from_the_title() -> None:
    rows = items(100, sharing=30)
    builder = DocumentBuilder(COLUMNS, boilerplate_share=0.2).learn(rows)
    made = builder.build(rows)
    assert made[0].title == SLOGAN
    assert made[0].text == f"{SLOGAN}\nAcme\nItem 0 of iron. Ends."
    assert builder.tally.boilerplate == {SLOGAN: 30}
    assert builder.tally.fixes["boilerplate"] == 30


@pytest.mark.parametrize("n,sharing,found", [(100, 20, 0), (100, 21, 1), (40, 19, 0), (40, 20, 1)])
def test_boilerplate_needs_its_share_and_twenty_items(n: int, sharing: int, found: int) -> None:
    bodies = [list(row[1:]) for row in items(n, sharing)]
    assert len(find_boilerplate(bodies, 0.2)) == found


def test_short_sentences_and_repeats_within_an_item_are_no_boilerplate() -> None:
    assert find_boilerplate([["Made in France. 全新正品"]] * 50, 0.2) == {}
    assert find_boilerplate([[f"{SLOGAN} {SLOGAN}"]] + [["other"]] * 3, 0.2) == {}


def test_boilerplate_of_chinese_has_no_spaces() -> None:
    bodies = [[f"第{i}号铸铁锅。本店所有商品均为正品保证!质量好。"] for i in range(50)]
    (found,) = find_boilerplate(bodies, 0.2).values()
    assert found == "本店所有商品均为正品保证!"
    left, cuts = without_boilerplate(bodies[7][0], find_boilerplate(bodies, 0.2))
    assert (left, cuts) == ("第7号铸铁锅。质量好。", {found})


def test_boilerplate_is_the_same_sentence_in_other_case_and_with_another_end() -> None:
    known = find_boilerplate([[SLOGAN]] * 20, 0.2)
    assert without_boilerplate("Iron. FREE shipping on all orders today", known)[0] == "Iron."


@given(text=words)
def test_sentences_together_are_the_text(text: str) -> None:
    assert "".join(sentences(text)) == text


@pytest.mark.parametrize(
    "text,tokens", [("", 0), ("a cast iron pan", 4), ("description!", 4), ("铸铁pan", 3)]
)
def test_estimated_tokens(text: str, tokens: int) -> None:
    assert estimated_tokens(text) == tokens


def test_fair_shares_by_hand() -> None:
    assert fair_shares({"a": 2, "b": 90, "c": 60}, 62) == {"a": 2, "b": 30, "c": 30}
    assert fair_shares({"a": 90, "b": 10}, 5) == {"b": 2, "a": 3}
    assert fair_shares({}, 5) == {}


@given(text=words, tokens=st.integers(0, 40))
def test_a_cut_text_is_a_start_that_fits(text: str, tokens: int) -> None:
    short = cut(text, tokens)
    assert text.startswith(short)
    assert estimated_tokens(short) <= tokens


@given(title=words, brand=words, body=words, limit=st.integers(1, 60))
def test_the_title_stays_whole_and_the_document_fits_wherever_it_can(title, brand, body, limit) -> None:
    template = Template("{brand} | {title} | {description}")
    texts = {"title": title.strip(), "brand": brand.strip(), "description": body.strip()}
    fitted = fit(texts, template, "title", limit)
    assert fitted["title"] == texts["title"]
    assert estimated_tokens(template.render(fitted)) <= max(limit, estimated_tokens(f"|{title}|"))


def test_a_long_description_does_not_cost_the_brand() -> None:
    builder = DocumentBuilder(
        COLUMNS, template="{description} | {title} | {brand}", max_tokens=20, boilerplate_share=0.2
    )
    (made,) = builder.build([("Cast iron pan", "Acme", "word " * 1000)])
    assert made.text.endswith("word | Cast iron pan | Acme")
    assert estimated_tokens(made.text) == 20
    assert builder.tally.fixes["truncated"] == 1
