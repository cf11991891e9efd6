"""Figures, each beside something measured in the same run. Nothing here is asserted with a clock."""
