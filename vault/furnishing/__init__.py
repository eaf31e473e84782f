"""The furnishers' side over HTTP: what may be handed in, handing it in, and how well that went."""
