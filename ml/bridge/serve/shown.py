"""Which items a recommender may show: a filter over what the catalogue says of them now.

Stock changes by the hour and models by the week, so what is known of items travels beside the model: it is
saved with it, and replaced by a newer catalogue's word where there is one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.data import Catalogue
from ml.retrieval.filters import Filter, ItemAttributes

AVAILABLE = Filter()


def allowed_items(attributes: ItemAttributes | None, items: int, only: Filter) -> np.ndarray | None:
    """(items,) bool, None where every item passes; FilterError where the filter asks what is not known."""
    mask = only.mask(attributes or ItemAttributes(items))
    return None if mask.all() else mask


def unavailable_items(attributes: ItemAttributes | None) -> int:
    """How many items lists leave out because they are not available."""
    known = None if attributes is None else attributes.available
    return 0 if known is None else int(np.count_nonzero(~known))


def carried_to(item_ids: np.ndarray, catalogue: Catalogue) -> ItemAttributes | None:
    """What `catalogue` says of the items `item_ids` (n,), in their order; None where it says nothing.

    Where it tells availability, an item that has left it is not available.
    """
    if catalogue.attributes is None:
        return None
    named, known = (pa.array(ids, pa.string()) for ids in (item_ids, catalogue.item_ids))
    place = pc.index_in(named, value_set=known)
    found = ItemAttributes.from_table(catalogue.attributes.to_table().take(place))
    if found.available is None:
        return found
    return replace(found, available=found.available & place.is_valid().to_numpy(zero_copy_only=False))


def beside(items: pa.Table, attributes: ItemAttributes | None) -> pa.Table:
    """The table of n items with the columns that are known of them."""
    if attributes is None:
        return items
    known = attributes.to_table()
    for name in known.column_names:
        items = items.append_column(name, known[name])
    return items
