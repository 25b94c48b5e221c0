"""A causal language model that runs here, through transformers: no text leaves the machine.

Small models drift from the format they are asked for, so the answer's first characters are written for them:
the model goes on from `{"description": "`, and what counts ends with the string.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ml.device import pick_device
from ml.text.encoding.source import folder_digest
from ml.text.generate.contract import (
    Answer,
    Prompt,
    PromptRefusedError,
    ServiceRefusedError,
    WrongAnswerError,
)

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass
class LocalModel:
    """model: a folder or a Hugging Face id, at `revision`. Greedy: the same prompt has the same answer.

    timeout: seconds after which a text is cut off, which makes it a wrong answer.
    """

    model: str
    revision: str | None = None
    max_tokens: int = 120
    timeout: float = 30.0
    device: str = "auto"

    at_once = 1  # torch uses all cores for one

    @cached_property
    def identity(self) -> str:
        """The content of a folder, or the commit of a model of the hub; with the length."""
        return f"{self._digest} {self.max_tokens}"

    def complete(self, prompt: Prompt) -> Answer:
        """Greedy continuation of the prompt and of the answer's first characters."""
        tokenizer, network = self._loaded
        opening = _opening(prompt)
        encoded = tokenizer(
            _conversation(tokenizer, prompt) + opening,
            add_special_tokens=not tokenizer.chat_template,  # a template writes its own
            return_tensors="pt",
        ).to(network.device)
        length = encoded["input_ids"].shape[1]
        longest = getattr(network.config, "max_position_embeddings", None)
        if longest is not None and length + self.max_tokens > longest:
            raise WrongAnswerError(f"no room for an answer: the prompt has {length} tokens of {longest}")
        try:
            with torch.inference_mode():
                out = network.generate(
                    **encoded, do_sample=False, num_beams=1, max_new_tokens=self.max_tokens,
                    max_time=self.timeout, pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id or 0,
                )  # fmt: skip
        except torch.OutOfMemoryError as error:
            raise PromptRefusedError(f"a prompt of {length} tokens does not fit the memory") from error
        except (RuntimeError, IndexError) as error:  # torch's own, such as a token beyond the vocabulary
            raise ServiceRefusedError(f"generator.model {self.model!r} failed: {error}") from error
        written = tokenizer.decode(out[0, length:], skip_special_tokens=True)
        return Answer(opening + written, tokens=int(out.shape[1]))

    @cached_property
    def _folder(self) -> Path | None:
        folder = Path(self.model).expanduser()
        return folder if folder.is_dir() else None

    @cached_property
    def _digest(self) -> str:
        if self._folder is not None:
            return folder_digest(self._folder)
        from transformers import AutoConfig

        try:
            config = AutoConfig.from_pretrained(self.model, revision=self.revision)
        except (OSError, ValueError) as error:
            raise self._not_found() from error
        return f"{self.model}@{getattr(config, '_commit_hash', None) or self.revision}"

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        commit = self._digest.rpartition("@")[2]
        where: dict[str, Any] = {"local_files_only": True}
        if self._folder is None:
            where = {"revision": commit if _COMMIT.fullmatch(commit) else self.revision}
        place = str(self._folder or self.model)
        device = pick_device(self.device)
        try:
            tokenizer = AutoTokenizer.from_pretrained(place, **where)
            # As stored on a GPU; a CPU emulates the half precisions, slowly.
            dtype = "auto" if device.type == "cuda" else torch.float32
            network: Any = AutoModelForCausalLM.from_pretrained(place, dtype=dtype, **where)
        except (OSError, ValueError) as error:
            raise self._not_found() from error
        return tokenizer, network.to(device).eval()

    def _not_found(self) -> ServiceRefusedError:
        return ServiceRefusedError(
            f"generator.model {self.model!r} is no folder with a causal language model and not in the "
            "Hugging Face cache: check the spelling and generator.revision, or fetch it once with "
            "HF_HUB_OFFLINE=0; for a service set generator.endpoint"
        )


def _opening(prompt: Prompt) -> str:
    (name,) = prompt.schema["required"]
    return f'{{{json.dumps(name)}: "'


def _conversation(tokenizer: Any, prompt: Prompt) -> str:
    """The prompt in the model's own chat format; in plain words for a model without one."""
    system = {"role": "system", "content": prompt.system}
    messages = [system, {"role": "user", "content": prompt.data}]
    if not tokenizer.chat_template:
        return f"{prompt.system}\n\n{prompt.data}\n\n"
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # a template raises what it likes, for instance at a system message
        if type(error).__module__.partition(".")[0] != "jinja2":
            raise
        joined = {"role": "user", "content": f"{prompt.system}\n\n{prompt.data}"}
        return tokenizer.apply_chat_template([joined], tokenize=False, add_generation_prompt=True)
