"""The API tier's side of serving: backends near and far, the router over them, and what is measured."""
