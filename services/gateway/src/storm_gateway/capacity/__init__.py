"""What a deployment needs, from what things cost, a target and prices. Nothing is measured here."""
