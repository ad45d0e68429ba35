"""Mails users when one of their refresh tokens was reused, or when they logged in from a new device."""
