"""The authorization server: FAPI 2.0 on Authlib. The only place Authlib appears."""
