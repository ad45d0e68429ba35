"""Two tokens, two jobs: rotating refresh tokens and stateless access tokens for Django REST Framework."""

__version__ = "0.1.0"
