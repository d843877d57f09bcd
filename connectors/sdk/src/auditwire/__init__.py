"""Auditwire SDK."""
