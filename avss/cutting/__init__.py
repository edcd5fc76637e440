"""Layers taken out exactly: surgery on modules and config, and the proof by reload."""
