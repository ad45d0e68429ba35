"""Token authentication for Django REST Framework: stateless access tokens and rotating refresh tokens."""

__version__ = "1.0.0rc1"
