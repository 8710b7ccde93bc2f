"""The variants of the bridge, the rows that the published tables compare: what `variants` in params.yaml may
name."""

VARIANTS = {
    "mlp": ("mlp", True),
    "transformer": ("transformer", True),
    "mlp-only": ("mlp", False),
    "transformer-only": ("transformer", False),
    "resampler-only": ("none", True),
}
"""Name -> (mapper, resampler with gated cross-attention?)."""
