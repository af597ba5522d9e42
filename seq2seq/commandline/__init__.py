"""What was typed: what Hydra makes of it, and what is wrong with it, in words."""
