"""`/v1/inspection`: what inspectors read, over HTTP. Who may, RULES 11 says."""
