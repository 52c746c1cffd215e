"""A rendered cooler with known truth: products, shelves, hands, shoppers."""
