"""A recommender as a folder of safetensors, JSON and Parquet; it loads wherever `ml/` imports."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file, save_file

from ml import columns as c
from ml.bridge.blocks.attributes import UserAttributeBlock
from ml.bridge.blocks.reviews import ReviewProfile
from ml.bridge.select.blend import Blend
from ml.bridge.select.candidates import Member, make
from ml.bridge.serve.new_items import NewItems
from ml.bridge.serve.shown import beside
from ml.data import Interactions
from ml.retrieval.rerank import Reranker
from ml.reviews import Reviews
from ml.snapshot_files import attributes_of
from ml.user_attributes import UserAttributes

if TYPE_CHECKING:
    from ml.bridge.serve.recommender import Recommender

FORMAT = 1  # of the folder; raise it when an older folder can no longer be read


def write(folder: Path, model: Recommender) -> None:
    """The files of `model` in an empty folder."""
    arrays, members = {}, {}
    for name, member in model.members.items():
        facts, mine = member.scorer.state()
        members[name] = {"kind": member.kind, "settings": dict(member.scorer.settings), "facts": facts}
        arrays.update({f"{name}/{key}": np.ascontiguousarray(value) for key, value in mine.items()})
    for domain, log in model.logs.items():
        fields = {"users": log.users, "items": log.items, "weights": log.weights, "times": log.times}
        if log.reviews is not None:
            said = log.reviews.arrays(texts=domain in model.reading(ReviewProfile.kind))
            fields |= {f"reviews.{key}": value for key, value in said.items()}
        if log.attributes is not None and domain in model.reading(UserAttributeBlock.kind):
            known = log.attributes.arrays()
            fields |= {f"attributes.{key}": value for key, value in known.items()}
        arrays.update({f"logs/{domain}/{key}": np.ascontiguousarray(value) for key, value in fields.items()})
    rules = None
    if model.reranker is not None:
        rules, mine = model.reranker.state()
        arrays.update({f"rerank/{key}": np.ascontiguousarray(value) for key, value in mine.items()})
    if model.new_items is not None:
        arrays["new_items"] = model.new_items.mask
    save_file(arrays, folder / "weights.safetensors")
    document = {
        "format": FORMAT,
        "target": model.target,
        "domains": list(model.logs),
        "members": members,
        "blends": {cohort: dict(blend.weights) for cohort, blend in model.blends.items()},
        "settings": dict(model.settings),
        "rerank": rules,
        "new_item_slots": model.new_items.slots if model.new_items else 0,
    }
    (folder / "model.json").write_text(json.dumps(document, indent=2, sort_keys=True))
    pq.write_table(pa.table({c.USER_ID: pa.array(model.user_ids, pa.string())}), folder / "users.parquet")
    for domain, ids in model.item_ids.items():
        titles = pa.array(model.titles[domain], pa.string())
        table = pa.table({c.ITEM_ID: pa.array(ids, pa.string()), c.TITLE: titles})
        listed = model.attributes if domain == model.target else None
        pq.write_table(beside(table, listed), folder / f"items-{domain}.parquet")


def read(folder: Path) -> dict[str, Any]:
    """The fields of the recommender that `write` wrote."""
    document_path = folder / "model.json"
    if not document_path.is_file():
        raise FileNotFoundError(f"{folder} holds no Landbridge model: expected model.json in it")
    document = json.loads(document_path.read_text())
    if document["format"] != FORMAT:
        raise ValueError(
            f"{folder} has format {document['format']}, this version reads {FORMAT}: train it again"
        )
    _check_whole(folder, document["domains"])
    arrays = load_file(folder / "weights.safetensors")
    user_ids = np.array(pq.read_table(folder / "users.parquet")[c.USER_ID].to_pylist(), dtype=str)
    item_ids, titles, logs, known = {}, {}, {}, {}
    for domain in document["domains"]:
        table = pq.read_table(folder / f"items-{domain}.parquet")
        item_ids[domain] = np.array(table[c.ITEM_ID].to_pylist(), dtype=str)
        titles[domain] = np.array(table[c.TITLE].to_pylist(), dtype=object)
        known[domain] = attributes_of(table)
        fields = {key: arrays[f"logs/{domain}/{key}"] for key in ("users", "items", "weights", "times")}
        logs[domain] = Interactions(
            **fields,
            n_users=len(user_ids),
            n_items=len(item_ids[domain]),
            reviews=_reviews(f"logs/{domain}/reviews.", arrays),
            attributes=_attributes(f"logs/{domain}/attributes.", arrays),
        )
    members = {}
    for name, facts in document["members"].items():
        scorer = make(facts["kind"], facts["settings"]).restore(facts["facts"], _below(f"{name}/", arrays))
        members[name] = Member(facts["kind"], scorer)
    blends = {cohort: Blend(weights) for cohort, weights in document["blends"].items()}
    target, settings = document["target"], document["settings"]
    rules, mine = document.get("rerank"), _below("rerank/", arrays)
    reranker = Reranker.restore(rules, mine) if rules else None
    slots = document.get("new_item_slots", 0)
    new_items = NewItems(arrays["new_items"], slots) if slots else None
    return {
        "target": target,
        "user_ids": user_ids,
        "item_ids": item_ids,
        "titles": titles,
        "logs": logs,
        "members": members,
        "blends": blends,
        "settings": settings,
        "attributes": known[target],
        "reranker": reranker,
        "new_items": new_items,
    }


def _check_whole(folder: Path, domains: Sequence[str]) -> None:
    names = ["weights.safetensors", "users.parquet", *(f"items-{domain}.parquet" for domain in domains)]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"the model in {folder} lacks {', '.join(missing)}: copy it whole or save it again"
        )


def _reviews(prefix: str, arrays: Mapping[str, np.ndarray]) -> Reviews | None:
    mine = _below(prefix, arrays)
    return Reviews.restore(mine) if mine else None


def _attributes(prefix: str, arrays: Mapping[str, np.ndarray]) -> UserAttributes | None:
    mine = _below(prefix, arrays)
    return UserAttributes.restore(mine) if mine else None


def _below(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
