"""The vault: sealed records, the rights around them, and the server that puts the rooms together."""
