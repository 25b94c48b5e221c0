"""The items of one domain: hidden theme, tone and popularity, launch, and the text that shows them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.demo.garden_text import garden_text
from ml.demo.media_text import media_text
from ml.demo.plan import DAYS, THEMES, TONES, DomainPlan, stream

_ZIPF_EXPONENT, _ZIPF_OFFSET = 0.65, 5.0
_UNTOUCHED = 0.03  # share of items nobody ever sees: cold, with text
_LAUNCHED_LATER = 0.2  # share of items that appear after the first day
_TITLE_TRIES = 40


@dataclass(frozen=True)
class Catalogue:
    """n items. themes, tones: (n,) int. popularity: (n,) sums to 1, 0 for items never interacted with.

    launch: (n,) float, days after the calendar's start. follows: (n,) int, the item one turns to next, -1
    for none. titles, descriptions: n strings; no two items have both in common.
    """

    ids: np.ndarray
    themes: np.ndarray
    tones: np.ndarray
    popularity: np.ndarray
    launch: np.ndarray
    follows: np.ndarray
    titles: list[str]
    descriptions: list[str]

    def __len__(self) -> int:
        return len(self.ids)


def _texts(
    domain: DomainPlan, themes: np.ndarray, tones: np.ndarray, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    titles: list[str] = []
    descriptions: list[str] = []
    seen_titles: set[str] = set()
    seen: set[tuple[str, str]] = set()
    for theme, tone in zip(themes.tolist(), tones.tolist(), strict=True):
        # A new title where the templates still have one; in large catalogues namesakes differ by description.
        tries = 0
        while True:
            if domain.shared_taste:
                title, description = media_text(domain.name, theme, tone, rng)
            else:
                title, description = garden_text(theme, tone, rng)
            tries += 1
            if (title, description) not in seen and (title not in seen_titles or tries >= _TITLE_TRIES):
                break
        seen_titles.add(title)
        seen.add((title, description))
        titles.append(title)
        descriptions.append(description)
    return titles, descriptions


def _popularity(count: int, rng: np.random.Generator) -> np.ndarray:
    weights = (rng.permutation(count) + 1.0 + _ZIPF_OFFSET) ** -_ZIPF_EXPONENT
    weights[rng.permutation(count)[: max(2, round(_UNTOUCHED * count))]] = 0.0
    return weights / weights.sum()


def _follows(themes: np.ndarray, popularity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    follows = np.full(len(themes), -1)
    for theme in range(THEMES):
        circle = rng.permutation(np.flatnonzero((themes == theme) & (popularity > 0)))
        if len(circle) > 1:
            follows[circle] = np.roll(circle, -1)
    return follows


def draw_catalogue(domain: DomainPlan, index: int, count: int, seed: int) -> Catalogue:
    """The catalogue of `domain`, the `index`-th of the world; all domains' draws are independent."""
    rng = np.random.default_rng(stream(seed, 1, index))
    themes = rng.permutation(np.arange(count) % THEMES)
    tones = rng.integers(TONES, size=count)
    popularity = _popularity(count, rng)
    launch = np.where(rng.random(count) < _LAUNCHED_LATER, rng.uniform(1, 0.8 * DAYS, count), 0.0)
    # Something of every theme is there from the first day.
    for theme in range(THEMES):
        mine = np.flatnonzero(themes == theme)
        launch[mine[np.argmax(popularity[mine])]] = 0.0
    follows = _follows(themes, popularity, rng)
    titles, descriptions = _texts(domain, themes, tones, rng)
    ids = np.array([f"{domain.prefix}{number:05d}" for number in range(1, count + 1)])
    return Catalogue(ids, themes, tones, popularity, launch, follows, titles, descriptions)
