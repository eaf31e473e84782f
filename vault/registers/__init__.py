"""The registers over HTTP, for registrars: what they sign, and what they read."""
