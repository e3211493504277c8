"""Images, shards, manifests, samplers and transforms."""
