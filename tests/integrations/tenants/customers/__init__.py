"""The app with a project's tenants. Tests import it as ``customers``, as the docs' page on tenants does."""
