"""The processes of an installation on one machine: who starts them, who keeps them alive, what a worker does."""
