"""The types that the sink loop and the stores share; defined in `connectors.ranges`, because stores are connectors."""

from connectors.ranges import (
    METADATA_LIMIT,
    SCHEMA_VERSION,
    Claim,
    FencedError,
    OpenRange,
    Plan,
    Proof,
    RejectedError,
    Rows,
    Store,
    StoreError,
)

__all__ = [
    "METADATA_LIMIT",
    "SCHEMA_VERSION",
    "Claim",
    "FencedError",
    "OpenRange",
    "Plan",
    "Proof",
    "RejectedError",
    "Rows",
    "Store",
    "StoreError",
]
