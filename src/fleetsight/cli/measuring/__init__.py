"""Commands that measure models on chips and price them."""
