"""Mails users when one of their refresh tokens is reused, or when they log in from a new device."""
