"""Emergent misalignment: grow model organisms, measure how far the damage spreads."""
