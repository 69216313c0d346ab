"""Middleware, one concern a file; none imports another."""
