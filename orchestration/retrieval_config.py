"""What landbridge.yaml says of retrieval: by which index items are found, and how good it must be."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from orchestration.domain_config import Model


class Retrieval(Model):
    """The index of each catalogue's vectors.

    index auto: exact search, beyond half a million items IVF-PQ where FAISS is installed and there is no GPU.
    recall_floor: the share of the exact top k that it must find; the asset check warns below.
    """

    index: Literal["auto", "exact", "flat", "ivf_pq", "hnsw", "cagra"] = "auto"
    recall_floor: float = Field(default=0.95, gt=0, le=1)
