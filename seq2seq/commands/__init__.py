"""What one types: translating, evaluating, scoring and averaging, each from its settings to its output."""
