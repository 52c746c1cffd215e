"""The cooler itself: furniture, stock, and what its camera does to the picture."""
