"""The app of a project that has tenants. It is imported as ``customers``, as on the page."""
