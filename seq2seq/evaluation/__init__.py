"""Scores, analyses and the page that shows them."""
