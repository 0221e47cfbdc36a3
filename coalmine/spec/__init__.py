"""What a user writes: models, YAML with places, JSON Schema and the linter. Pure: no network, no Temporal."""
