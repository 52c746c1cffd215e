"""Exact money: price lists, quotes, holds, captures, the ledger, refunds, receipts. Never sees a pixel."""
