"""The parts of `fleetsight.billing.payments`: may it be asked, did it happen, what does it mean for the books, and its row."""
