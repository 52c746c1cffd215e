"""How many replicas: the rule, and what it means for each variant. Pure; `fleetsight.serve.tier.scaler` acts on it."""
