"""How good the settlements are: figures, suites of rendered sessions, the fit of the confidence."""
