"""Two tokens, two jobs: rotating refresh tokens and stateless access tokens for Django REST Framework."""

__version__ = "1.0.0rc1"
