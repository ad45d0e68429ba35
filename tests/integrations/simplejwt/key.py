"""Shared by both projects: simplejwt's signing key, and everybody's password."""

SECRET_KEY = "a key of the old project that is for the tests only"
PASSWORD = "a password of some length"
