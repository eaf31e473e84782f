"""The citizen's side: sign-in, pages, consent page, `/v1/me`, and the demo's identity provider."""
