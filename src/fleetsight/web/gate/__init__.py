"""What every request passes before an endpoint sees it: limits, identity, authorisation, and a body that is what it claims."""
