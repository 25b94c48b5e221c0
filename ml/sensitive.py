"""Which user attributes are used only where somebody says so by name.

The special categories of Article 9 GDPR, and what anti-discrimination law adds. A name is all there is to go
by, so a configuration may list more; and naming an attribute that is not sensitive costs nothing.
"""

from __future__ import annotations

import re

WORD = re.compile(
    "aged?|birth|birthday|birthdate|birthyear|dob|gender|sex|sexual|sexuality|orientation|race|racial|"
    "ethnic|ethnicity|nationality|religion|religious|faith|belief|caste|health|medical|disability|disabled|"
    "pregnant|pregnancy|political|politics|genetic|biometric|marital"
)


def is_sensitive(attribute: str) -> bool:
    """Whether a word of the attribute's name says so: `age_band`, `customerGender`; not `usage`."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", attribute)
    return any(WORD.fullmatch(word) for word in re.split(r"[^a-z]+", apart.lower()))
