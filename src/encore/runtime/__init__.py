"""What every stage rests on: seeds, parameters, atomic files, maps over shards, fingerprints."""
