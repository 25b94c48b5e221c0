"""Whether a value parsed from JSON is what was asked for: the few words of JSON Schema that prompts use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KNOWN = {"type", "properties", "required", "additionalProperties", "minLength", "maxLength", "description"}


def violation(value: Any, schema: Mapping[str, Any], at: str = "the answer") -> str | None:
    """The first thing wrong with `value`, None where it is valid. It quotes no content, only keys we know.

    Objects and strings; ValueError for a schema that uses another word, which would check nothing.
    """
    if unknown := set(schema) - _KNOWN:
        raise ValueError(
            f"schema word {min(unknown)!r} is not checked here; add it to ml.text.generate.schema"
        )
    if schema["type"] == "string":
        return _string_violation(value, schema, at) if isinstance(value, str) else f"{at} is no string"
    return _object_violation(value, schema, at) if isinstance(value, dict) else f"{at} is no object"


def _object_violation(value: Mapping[str, Any], schema: Mapping[str, Any], at: str) -> str | None:
    for name in schema.get("required", ()):
        if name not in value:
            return f"{at} lacks {name!r}"
    properties = schema.get("properties", {})
    if schema.get("additionalProperties") is False and set(value) - set(properties):
        return f"{at} has other keys than {', '.join(sorted(properties))}"
    for name, inner in properties.items():
        if name in value and (found := violation(value[name], inner, repr(name))):
            return found
    return None


def _string_violation(value: str, schema: Mapping[str, Any], at: str) -> str | None:
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength")
    if len(value) < shortest:
        return f"{at} has fewer than {shortest} characters"
    if longest is not None and len(value) > longest:
        return f"{at} has more than {longest} characters"
    return None
