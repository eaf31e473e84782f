"""The second log: the roots of the prefix trees, month by month (FORMAT 4.3).

`leaf`, `audit` and `state` belong to whoever verifies; `store`, `log`, `crown` and `api` to the vault.
"""
