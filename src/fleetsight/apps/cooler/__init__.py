"""Autonomous coolers: from a transaction clip to a basket with evidence."""
