"""Plans: which instances to rent for a demand, what a million frames then cost, and how a fleet follows a day."""
