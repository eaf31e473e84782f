"""Witnesses: who run one, and how the log asks them (FORMAT 8).

`protocol` is pure and belongs to both sides. A witness is `store` behind `api`; it needs no vault.
"""
