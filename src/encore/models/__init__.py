"""Networks: backbones, pooling and heads, one concept per file."""
