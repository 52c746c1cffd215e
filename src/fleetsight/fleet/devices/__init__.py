"""Coolers as the service knows them: who they are, what they sign, what they report and what they are told."""
