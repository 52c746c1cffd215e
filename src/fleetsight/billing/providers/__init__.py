"""Those who can move money: the prepaid wallet, Stripe, and a fake that fails in every way we know."""
