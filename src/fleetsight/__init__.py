"""Fleetsight turns camera footage into decisions one can charge for, on whatever hardware is cheapest."""
