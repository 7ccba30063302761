"""Telling apps what happened: one signed message to one address, and which addresses are allowed."""
