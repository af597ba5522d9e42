"""One attention family for recurrent and Transformer models."""
