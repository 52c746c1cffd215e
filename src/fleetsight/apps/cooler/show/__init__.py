"""What people see of a settlement: evidence, JSON, the page of the demo."""
