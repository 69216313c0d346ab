"""Observing answers that arrive bit by bit."""
