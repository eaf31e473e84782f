"""Keys and ciphertexts: a leaf that knows no database, no person and no network."""
