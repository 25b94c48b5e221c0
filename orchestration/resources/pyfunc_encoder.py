"""The registered encoder as code: MLflow copies this file and `ml/` beside the adapter, nothing is pickled.

The base model is not copied: it is loaded by its name, and refused where it is not the one that was adapted.
"""

import json
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext


class AdaptedEncoder(PythonModel):
    """An encoder with its adapter behind MLflow's interface: texts in, unit vectors out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Find the base model and the adapter; `ml` comes from the version's own code folder."""
        from ml.text.encoding.encoder import EncoderConfig, TextEncoder

        folder = Path(context.artifacts["encoder"])
        settings = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
        self.encoder = TextEncoder(EncoderConfig(**settings["config"], adapter=folder / "adapter"))
        if self.encoder.source.digest != settings["base_digest"]:
            raise RuntimeError(
                f"the base model {settings['config']['model']!r} of this machine is not the one this adapter "
                f"was trained on ({settings['base_digest'][:12]}): install that one"
            )

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """One column, `vector`: a list of floats for every row's `text`."""
        vectors = self.encoder.encode(model_input["text"].astype(str).tolist())
        return pd.DataFrame({"vector": [row.tolist() for row in vectors]})


mlflow.models.set_model(AdaptedEncoder())
