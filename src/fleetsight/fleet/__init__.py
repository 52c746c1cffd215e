"""What runs where, and who may ask for it: tenants, people, shoppers, sites and devices."""
