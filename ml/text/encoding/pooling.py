"""One vector from a text's token states: which pooling a model was trained for, and the pooling itself.

The mean is Reimers and Gurevych, Sentence-BERT (2019); the last token is how causal models are trained to
embed (for one E5-Mistral, Wang et al. 2024): no earlier token has seen the whole text.
"""

from __future__ import annotations

import json
from typing import Any

import torch

from ml.text.encoding.source import EncoderError, ModelSource, model_file

POOLINGS = ("mean", "cls", "last")
# How sentence-transformers writes them. After the L2 norm the mean by sqrt(length) is the mean.
_THEIR_NAMES = {
    "mean": "mean", "mean_tokens": "mean", "mean_sqrt_len_tokens": "mean", "cls": "cls", "cls_token": "cls",
    "lasttoken": "last",
}  # fmt: skip


def pool(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """(b, d) from token states (b, t, d); mask (b, t) is 1 on real tokens, which start at position 0."""
    if pooling == "cls":
        return states[:, 0]
    if pooling == "last":
        return states[torch.arange(len(states), device=states.device), mask.sum(dim=1).clamp(min=1) - 1]
    return (states * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)


def choose_pooling(wanted: str, source: ModelSource) -> str:
    """`wanted`, or for "auto" what the model's own files say, else last for a decoder and mean for the rest.

    EncoderError where the files ask for what is not built here: the vectors would not be the model's own.
    """
    if wanted != "auto":
        return wanted
    modules = _read(source, "modules.json")
    if modules is None:
        return "last" if _is_decoder(source) else "mean"
    kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
    if unknown := [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize")]:
        raise _not_built(source, f"a module {unknown[0]}")
    folder = next((m["path"] for m in modules if m["type"].rsplit(".", 1)[-1] == "Pooling"), None)
    declared = _read(source, f"{folder}/config.json") if folder else None
    return _declared(source, declared or {})


def _declared(source: ModelSource, config: dict[str, Any]) -> str:
    names = config.get("pooling_mode") or [
        name.removeprefix("pooling_mode_")
        for name, on in config.items()
        if name.startswith("pooling_mode_") and on
    ]
    names = [names] if isinstance(names, str) else names or ["mean"]
    if len(names) > 1 or names[0] not in _THEIR_NAMES:
        raise _not_built(source, f"the pooling {' + '.join(names)}")
    return _THEIR_NAMES[names[0]]


def _not_built(source: ModelSource, what: str) -> EncoderError:
    return EncoderError(
        f"encoder.model {source.name!r} is trained with {what}, which Landbridge does not apply: choose "
        f"another model, or set encoder.pooling to {', '.join(POOLINGS)} and compare with the embedded model"
    )


def _read(source: ModelSource, name: str) -> Any:
    path = model_file(source, name)
    return None if path is None else json.loads(path.read_text(encoding="utf-8"))


def _is_decoder(source: ModelSource) -> bool:
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    config = _read(source, "config.json") or {}
    if config.get("is_encoder_decoder"):
        return False
    kind = config.get("model_type")
    # BERT's family can also write with a causal mask, so being listed there alone says little.
    causal_only = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return bool(config.get("is_decoder")) or causal_only
