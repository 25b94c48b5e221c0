"""What landbridge.yaml says of the blocks that models may read beside who took what."""

from __future__ import annotations

from typing import Any

from orchestration.domain_config import Model


class Blocks(Model):
    """Kinds of knowledge, each a switch; the models of one that is off never see its data.

    sensitive: the sensitive user attributes that may be used. Without a name here none is: what counts as
    sensitive is told by the attribute's name (`age_band`, `gender`, ...) or by `users.columns.sensitive`.
    """

    text: bool = True
    reviews: bool = True
    modalities: bool = True
    user_attributes: bool = True
    item_attributes: bool = True
    sensitive: tuple[str, ...] = ()

    @property
    def switches(self) -> dict[str, Any]:
        """What `ml.bridge.Blocks` takes."""
        return self.model_dump()
