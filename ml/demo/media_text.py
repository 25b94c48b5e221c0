"""Titles and descriptions of films, books and albums, from the words of their theme and tone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ml.demo.media_words import THEMES
from ml.demo.phrases import Words, capitalised, fill, pick

FIRST_NAMES = (
    "Mara|Theo|Ingrid|Callum|Noor|Elias|Rosalind|Jonah|Amaya|Piotr|Leonie|Desmond|Yuki|Marguerite|"
    "Silas|Farah|"
    "Tomasz|Odette|Gideon|Ines|Rafael|Wren|Anselm|Delphine|Kofi|Saskia|Bram|Lucinda|Emeka|Hanne"
)
LAST_NAMES = (
    "Ellison|Varga|Thornbury|Okafor|Lindqvist|Marchetti|Penhallow|Castellane|Dray|Whitlock|Abernethy|Sorel|"
    "Halloran|Nakamura|Fenwick|Oyelaran|Bexley|Kowalczyk|Vance|Ashdown|Delacroix|Mwangi|Rask|"
    "Tremaine|Coldwell|"
    "Ostrander|Bellweather|Quist|Lefèvre|Hargreave"
)
MAKERS = [f"{first} {last}" for first in FIRST_NAMES.split("|") for last in LAST_NAMES.split("|")]


@dataclass(frozen=True)
class Tone:
    """How a story is told: the second half of a taste, next to its theme."""

    name: str
    openings: tuple[str, ...]
    closings: tuple[str, ...]


TONES = (
    Tone(
        "dark",
        ("A bleak, slow-burning", "A grim and unsparing", "A tense, pitiless", "A harrowing"),
        (
            "Dark, brooding and without comfort.",
            "Nobody comes out of it unharmed.",
            "Unsettling to the last minute.",
        ),
    ),
    Tone(
        "gentle",
        ("A gentle, warm-hearted", "A tender and quiet", "A soothing, hopeful", "A heart-warming"),
        (
            "Kind, consoling and full of hope.",
            "Soft-spoken and full of warmth.",
            "A comfort for quiet evenings.",
        ),
    ),
    Tone(
        "comic",
        ("A wry, very funny", "A silly and quick-witted", "A hilarious, playful", "A cheeky"),
        (
            "Jokes come faster than you can laugh.",
            "Absurd, light and full of mischief.",
            "Made to laugh out loud.",
        ),
    ),
    Tone(
        "epic",
        ("A sweeping, monumental", "An epic and thunderous", "A grand, ambitious", "A majestic"),
        (
            "Vast in scale and high in stakes.",
            "Thundering, heroic and larger than life.",
            "A saga of generations.",
        ),
    ),
)


@dataclass(frozen=True)
class Medium:
    """The templates of one domain and the words that only this domain has."""

    titles: tuple[str, ...]
    descriptions: tuple[str, ...]
    words: Words


FILMS = Medium(
    titles=(
        "The {noun} at {place}",
        "{adjective} {noun}",
        "The {adjective} {noun}",
        "Last {noun} to {place}",
        "The {noun} and the {noun2}",
        "Before the {noun}",
        "Goodbye, {place}",
        "Return to {place}",
        "The {adjective} {noun} of {place}",
    ),
    descriptions=(
        "{opening} film about {person} who {deed} {setting}. {closing} Directed by {maker}, "
        "{minutes} minutes.",
        "{opening} {genre} from director {maker}: {person} {deed} {setting}. {closing}",
        "In this {minutes}-minute film by {maker}, {person} {deed} {setting}. {opening} picture. {closing}",
    ),
    words={
        "minutes": [str(n) for n in range(82, 172)],
        "genre": ("feature", "debut film", "screen drama", "picture", "independent film"),
    },
)
BOOKS = Medium(
    titles=(
        "A {noun} in {place}",
        "The {noun} of {place}",
        "What the {noun} Knew",
        "{adjective} {noun}: A Novel",
        "The {noun}'s Apprentice",
        "Letters from {place}",
        "The {adjective} {noun}, and Other Stories",
        "A Brief History of the {noun}",
        "Every {noun} Has a {noun2}",
    ),
    descriptions=(
        "{opening} novel in which {person} {deed} {setting}. {closing} {pages} pages.",
        "{capital_person} {deed} {setting}. {opening} {form} by {maker}, in {binding}. {closing}",
        "{maker}'s {ordinal} book tells of {person} who {deed} {setting}. {opening} read. {closing}",
    ),
    words={
        "pages": [str(n) for n in range(148, 720)],
        "form": ("novel", "story", "tale", "page-turner", "first novel"),
        "binding": ("paperback", "hardback", "an illustrated edition", "large print"),
        "ordinal": ("first", "second", "third", "fourth", "long-awaited new", "prize-winning"),
    },
)
MUSIC = Medium(
    titles=(
        "{adjective} {noun}",
        "Songs from {place}",
        "{noun} Sessions",
        "Live at {place}",
        "{adjective} {noun} (Deluxe Edition)",
        "Ballad of the {noun}",
        "{noun} / {noun2}",
        "Nocturnes for a {noun}",
        "{place}, Volume {volume}",
    ),
    descriptions=(
        "{opening} album by {maker}: {tracks} songs about {person} who {deed} {setting}. {closing}",
        "{maker} sings of {person} who {deed} {setting}. {opening} record for {instruments}. {closing}",
        "{opening} song cycle for {instruments}, set {setting}: {person} {deed}. {closing} By {maker}.",
    ),
    words={
        "tracks": [str(n) for n in range(8, 25)],
        "volume": ("One", "Two", "Three", "Four"),
        "instruments": (
            "voice and piano",
            "string quartet",
            "guitar and brass",
            "a small choir",
            "synthesisers",
            "a full orchestra",
            "acoustic guitar",
            "accordion and double bass",
        ),
    },
)
MEDIA: Mapping[str, Medium] = {"films": FILMS, "books": BOOKS, "music": MUSIC}


def media_text(domain: str, theme: int, tone: int, rng: np.random.Generator) -> tuple[str, str]:
    """(title, description) of one film, book or album of the given theme and tone."""
    medium, words, voice = MEDIA[domain], THEMES[theme], TONES[tone]
    slots = {
        **medium.words,
        "noun": words.nouns,
        "adjective": words.adjectives,
        "place": words.places,
        "person": words.people,
        "capital_person": [capitalised(person) for person in words.people],
        "deed": words.deeds,
        "setting": words.settings,
        "opening": voice.openings,
        "closing": voice.closings,
        "maker": MAKERS,
    }
    title = fill(pick(medium.titles, rng), slots, rng)
    return capitalised(title), fill(pick(medium.descriptions, rng), slots, rng)
