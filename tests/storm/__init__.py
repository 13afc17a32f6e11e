"""Storms: many runs against a provider and a machine that misbehave, held against the provider's own log."""
