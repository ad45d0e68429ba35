"""Constants that the projects before and after the move share: simplejwt's signing key, and the users' password."""

SECRET_KEY = "a key of the old project that is for the tests only"
PASSWORD = "a password of some length"
