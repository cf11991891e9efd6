"""The schema's history, as SQL files that are package data."""
