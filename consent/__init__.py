"""Who may ask what: registers of bodies, authorizations and consents, and the decision."""
