"""Where tensors live: one rule for every model, encoder and index of the library."""

from __future__ import annotations

import torch


def pick_device(name: str = "auto") -> torch.device:
    """The torch device of "auto" (a GPU where there is one), "cpu" or "cuda".

    Raises ValueError for another name and RuntimeError where "cuda" is asked for and torch sees no GPU.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device {name!r}: expected auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(
            f"device cuda: torch {torch.__version__} sees no GPU; use device auto or cpu, "
            "or install a CUDA build of torch and check nvidia-smi"
        )
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
