"""Programs over shards as the programs of single ranks."""
