"""The way out: models in the formats of other engines, compared with ours before they are there."""
