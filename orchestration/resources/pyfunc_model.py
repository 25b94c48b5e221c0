"""The registered model as code: MLflow copies this file and `ml/` beside the weights, so nothing is pickled.

Loading it needs neither this repository nor a network:
`mlflow.pyfunc.load_model("models:/landbridge-food@champion")`.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext


class RecommenderModel(PythonModel):
    """A saved recommender behind MLflow's interface: user ids in, ranked items out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the weights; `ml` comes from the version's own code folder."""
        import ml.bridge

        self.recommender = ml.bridge.load(Path(context.artifacts["model"]))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Rank `params["k"]` unseen items for every row's user_id.

        Returns user_id, item_id, score, rank (1 is best) and reason, k rows a user; a user the model has
        never seen gets the popularity fallback and a reason that says so.
        """
        users = model_input["user_id"].astype(str).tolist()
        return self.recommender.recommend(users, k=int((params or {}).get("k", 10))).to_pandas()


mlflow.models.set_model(RecommenderModel())
