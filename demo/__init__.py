"""The story of the vault, told on real input."""
