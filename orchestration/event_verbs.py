"""What users of a domain did with its items, in a word: “because you bought …” needs one.

Only where every event of the domain means the same: training adds events up, so that a reason cannot tell a
purchase from a click.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestration.config import Config
    from orchestration.domain_config import Domain

VERBS = {
    "purchase": "bought",
    "buy": "bought",
    "order": "ordered",
    "rental": "rented",
    "view": "looked at",
    "click": "looked at",
    "rating": "rated",
    "review": "reviewed",
    "like": "liked",
    "favourite": "liked",
    "favorite": "liked",
    "watch": "watched",
    "listen": "listened to",
    "play": "played",
    "read": "read",
    "download": "downloaded",
    "install": "installed",
    "bookmark": "saved",
    "save": "saved",
}


def event_verbs(config: Config) -> dict[str, str]:
    """domain -> verb, of the domains whose events that raise interest are all of one known kind."""
    found = {name: _verb(domain) for name, domain in config.domains.items()}
    return {name: verb for name, verb in found.items() if verb}


def _verb(domain: Domain) -> str | None:
    kinds = [event for event, weight in domain.event_weights.items() if weight > 0]
    if domain.events.columns.event is None:
        kinds = [domain.events.default_event]
    verbs = {VERBS.get(kind.strip().lower()) for kind in kinds}
    return verbs.pop() if len(verbs) == 1 else None
