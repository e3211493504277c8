"""Products of small tiles, so that small examples fill several of them."""

from __future__ import annotations

from encore.search.products import HostProducts, TorchProducts


class SmallHostProducts(HostProducts):
    query_tile, reference_tile = 4, 256


class SmallTorchProducts(TorchProducts):
    query_tile, reference_tile = 8, 512

    def __init__(self, metric="inner_product"):
        super().__init__("cpu", metric)
