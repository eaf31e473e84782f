"""`/v1/desk`: a clerk helps a person who has no access of their own. Who may, RULES 12 says."""
