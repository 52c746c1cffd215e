"""The whole service with simulated coolers and shoppers, in one process tree: to show it, to measure it, to trouble it."""
