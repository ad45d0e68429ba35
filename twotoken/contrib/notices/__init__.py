"""Mails to users: a refresh token of theirs was reused, or a new device logged in."""
