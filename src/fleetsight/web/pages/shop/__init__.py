"""The pages of shoppers: from a scanned code to a receipt."""
